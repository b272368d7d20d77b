#include "kernels/linear_s8_packed.h"

#include <string.h>

#include "kernels/add_bias.h"
#include "kernels/gemv_s8.h"
#include "kernels/packed_s8.h"

// out[n] of one row, without the bias. Not inlined: the compiler would prepare for every row before the first.
[[gnu::noinline]] static void product(const int8_t* x, float x_scale, const int8_t* weight, const float* weight_scale,
                                      float* out, int32_t k, int32_t n) {
#if defined(__ARM_FEATURE_MVE)
    const int32_t whole = n & ~(MCU_PACKED_ROWS - 1);
    const auto multiply = k > 48 && k <= 64 ? mcu_gemv_s8_dynamic_64 : mcu_gemv_s8_dynamic;
    if (whole > 0) multiply(x, weight, weight_scale, out, out + whole, k, x_scale);
    if (whole == n) return;
    float last[MCU_PACKED_ROWS];
    weight += whole / MCU_PACKED_ROWS * mcu_packed_group_bytes(k);
    multiply(x, weight, weight_scale + whole, last, last + MCU_PACKED_ROWS, k, x_scale);
    memcpy(out + whole, last, size_t(n - whole) * sizeof *out);
#else
    for (int32_t first = 0; first < n; first += MCU_PACKED_ROWS, weight += mcu_packed_group_bytes(k)) {
        int32_t sums[MCU_PACKED_ROWS];
        mcu_packed_sums(x, weight, k, sums);
        for (int32_t c = first; c < n && c < first + MCU_PACKED_ROWS; ++c) {
            out[c] = (float(sums[c - first]) * weight_scale[c]) * x_scale;
        }
    }
#endif
}

void mcu_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                          const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        product(x, x_scale[row], weight, weight_scale, out, k, n);
        if (bias) mcu_add_bias(bias, out, n);
    }
}
