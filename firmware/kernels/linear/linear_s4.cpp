#include "kernels/linear/linear_s4.h"

#include "kernels/linear/blocks_s4.h"
#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
void mcu_linear_s4(const int8_t* x, const float* x_scale, const int8_t* weight, const float* bias, float* out,
                   int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k) {
        const int8_t* blocks = weight;
        for (int32_t first = 0; first < n; first += MCU_S4_ROWS, blocks += mcu_s4_group_bytes(k)) {
            float total[MCU_S4_ROWS];
            mcu_s4_totals(x, blocks, k, total);
            const int32_t end = n - first < MCU_S4_ROWS ? n : first + MCU_S4_ROWS;
#pragma GCC unroll 1  // eight of them would be as long as the product itself
            for (int32_t c = first; c < end; ++c) {
                const float value = total[c - first] * x_scale[row];
                *out++ = bias ? value + bias[c] : value;
            }
        }
    }
}
#endif
