#include "kernels/linear/linear_s4.h"

#include "kernels/linear/add_bias.h"
#include "kernels/linear/blocks_s4.h"
#include "kernels/linear/gemv_s4.h"

// out[n] of one group of rows (n <= 8), without the bias.
static void one_group(const int8_t* x, float x_scale, const int8_t* weight, float* out, int32_t k, int32_t n) {
    float total[MCU_S4_ROWS];
#if defined(__ARM_FEATURE_MVE)
    mcu_gemv_s4(x, weight, total, total + MCU_S4_ROWS, k, x_scale);
    memcpy(out, total, size_t(n) * sizeof *out);
#else
    mcu_s4_totals(x, weight, k, total);
    for (int32_t c = 0; c < n; ++c) out[c] = total[c] * x_scale;
#endif
}

void mcu_linear_s4(const int8_t* x, const float* x_scale, const int8_t* weight, const float* bias, float* out,
                   int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        int32_t first = 0;
#if defined(__ARM_FEATURE_MVE)
        first = n & ~(MCU_S4_ROWS - 1);
        if (first > 0) mcu_gemv_s4(x, weight, out, out + first, k, x_scale[row]);
#endif
        const int8_t* blocks = weight + first / MCU_S4_ROWS * mcu_s4_group_bytes(k);
        for (; first < n; first += MCU_S4_ROWS, blocks += mcu_s4_group_bytes(k)) {
            const int32_t channels = n - first < MCU_S4_ROWS ? n - first : MCU_S4_ROWS;
            one_group(x, x_scale[row], blocks, out + first, k, channels);
        }
        if (bias) mcu_add_bias(bias, out, n);
    }
}
