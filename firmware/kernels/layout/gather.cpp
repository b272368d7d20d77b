#include "kernels/layout/gather.h"

#include <string.h>

#include "kernels/layout/index.h"

void mcu_gather(const void* x, const int64_t* index, void* out, int32_t outer, int32_t rows, int32_t count,
                int32_t inner, int32_t element_size) {
    const auto* source = static_cast<const uint8_t*>(x);
    auto* target = static_cast<uint8_t*>(out);
    for (int32_t o = 0; o < outer; ++o, source += rows * inner * element_size) {
        for (int32_t i = 0; i < count * inner; ++i, ++index, target += element_size) {
            const int32_t row = mcu_checked_index(*index, rows);
            if (row < 0) {
                memset(target, 0, size_t(element_size));
            } else {
                memcpy(target, source + (row * inner + i % inner) * element_size, size_t(element_size));
            }
        }
    }
}
