#include "kernels/layout/scatter_value.h"

#include <string.h>

#include "kernels/layout/index.h"

void mcu_scatter_value(const void* value, const int64_t* index, void* out, int32_t outer, int32_t rows, int32_t count,
                       int32_t inner, int32_t element_size) {
    auto* target = static_cast<uint8_t*>(out);
    for (int32_t o = 0; o < outer; ++o, target += rows * inner * element_size) {
        for (int32_t i = 0; i < count * inner; ++i, ++index) {
            const int32_t row = mcu_checked_index(*index, rows);
            if (row >= 0) memcpy(target + (row * inner + i % inner) * element_size, value, size_t(element_size));
        }
    }
}
