#include "kernels/linear/linear_s4.h"

#include "kernels/linear/blocks_s4.h"
#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
void mcu_linear_s4(const int8_t* x, const float* x_scale, const int8_t* weight, const float* bias, float* out,
                   int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        const int8_t* blocks = weight;
        for (int32_t first = 0; first < n; first += MCU_S4_ROWS, blocks += mcu_s4_group_bytes(k)) {
            const int32_t channels = n - first < MCU_S4_ROWS ? n - first : MCU_S4_ROWS;
            float total[MCU_S4_ROWS];
            mcu_s4_totals(x, blocks, k, total);
            for (int32_t c = 0; c < channels; ++c) out[first + c] = total[c] * x_scale[row];
        }
        if (bias) {
            for (int32_t c = 0; c < n; ++c) out[c] += bias[c];
        }
    }
}
#endif
