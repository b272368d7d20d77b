#include "kernels/layout/take_rows.h"

#include <string.h>

#include "kernels/layout/index.h"

void mcu_take_rows(const void* x, const int64_t* index, void* out, int32_t outer, int32_t rows, int32_t count,
                   int32_t row_bytes) {
    const auto* source = static_cast<const uint8_t*>(x);
    auto* target = static_cast<uint8_t*>(out);
    for (int32_t o = 0; o < outer; ++o, source += rows * row_bytes) {
        for (int32_t i = 0; i < count; ++i, target += row_bytes) {
            const int32_t row = mcu_checked_index(index[i], rows);
            if (row < 0) {
                memset(target, 0, size_t(row_bytes));
            } else {
                memcpy(target, source + row * row_bytes, size_t(row_bytes));
            }
        }
    }
}
