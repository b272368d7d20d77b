#include "kernels/linear/linear_s8_static_packed.h"

#include <string.h>

#include "kernels/linear/add_bias.h"
#include "kernels/linear/gemv_s8.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/math/math.h"

// out[n] of one row, without the bias. Not inlined: the compiler would prepare for every row before the first.
[[gnu::noinline]] static void product(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                      float* out, int32_t k, int32_t n) {
#if defined(__ARM_FEATURE_MVE)
    const int32_t whole = n & ~(MCU_PACKED_ROWS - 1);
    if (whole > 0) mcu_gemv_s8_static(x, weight, offset, scale, out, out + whole, k);
    if (whole == n) return;
    float last[MCU_PACKED_ROWS];
    weight += whole / MCU_PACKED_ROWS * mcu_packed_group_bytes(k);
    mcu_gemv_s8_static(x, weight, offset + whole, scale + whole, last, last + MCU_PACKED_ROWS, k);
    memcpy(out + whole, last, size_t(n - whole) * sizeof *out);
#else
    for (int32_t first = 0; first < n; first += MCU_PACKED_ROWS, weight += mcu_packed_group_bytes(k)) {
        int32_t sums[MCU_PACKED_ROWS];
        mcu_packed_sums(x, weight, k, sums);
        for (int32_t c = first; c < n && c < first + MCU_PACKED_ROWS; ++c) {
            out[c] = float(mcu_add_wrapping(sums[c - first], offset[c])) * scale[c];
        }
    }
#endif
}

void mcu_linear_s8_static_packed(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                 const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        product(x, weight, offset, scale, out, k, n);
        if (bias) mcu_add_bias(bias, out, n);
    }
}
