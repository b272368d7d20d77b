#include "kernels/linear/linear_s8_packed.h"

#include <string.h>

#include "kernels/linear/add_bias.h"
#include "kernels/linear/gemv_s8.h"
#include "kernels/linear/packed_s8.h"

#if defined(__ARM_FEATURE_MVE)
// out[n] for whole groups of channels.
static inline void whole_groups(const int8_t* x, float x_scale, const int8_t* weight, const float* scale, float* out,
                                int32_t k, int32_t n) {
    const auto multiply = k > 48 ? mcu_gemv_s8_dynamic : mcu_gemv_s8_dynamic_short;
    multiply(x, weight, scale, out, out + n, k, x_scale);
}

// out[n] of one row, without the bias.
static void product(const int8_t* x, float x_scale, const int8_t* weight, const float* weight_scale, float* out,
                    int32_t k, int32_t n) {
    const int32_t whole = n & ~(MCU_PACKED_ROWS - 1);
    if (whole > 0) whole_groups(x, x_scale, weight, weight_scale, out, k, whole);
    if (whole == n) return;
    float last[MCU_PACKED_ROWS];
    weight += whole / MCU_PACKED_ROWS * mcu_packed_group_bytes(k);
    whole_groups(x, x_scale, weight, weight_scale + whole, last, k, MCU_PACKED_ROWS);
    memcpy(out + whole, last, size_t(n - whole) * sizeof *out);
}
#else
static void product(const int8_t* x, float x_scale, const int8_t* weight, const float* weight_scale, float* out,
                    int32_t k, int32_t n) {
    for (int32_t first = 0; first < n; first += MCU_PACKED_ROWS, weight += mcu_packed_group_bytes(k)) {
        int32_t sums[MCU_PACKED_ROWS];
        mcu_packed_sums(x, weight, k, sums);
        for (int32_t c = first; c < n && c < first + MCU_PACKED_ROWS; ++c) {
            out[c] = (float(sums[c - first]) * weight_scale[c]) * x_scale;
        }
    }
}
#endif

// Not inlined: what all rows need is prepared before the first, and the usual call has one row.
[[gnu::noinline]] static void linear(const int8_t* x, const float* x_scale, const int8_t* weight,
                                     const float* weight_scale, const float* bias, float* out, int32_t rows, int32_t k,
                                     int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        product(x, x_scale[row], weight, weight_scale, out, k, n);
        if (bias) mcu_add_bias(bias, out, n);
    }
}

void mcu_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                          const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
#if defined(__ARM_FEATURE_MVE)
    if (rows == 1 && !bias && n % MCU_PACKED_ROWS == 0) {  // a decoder's
        whole_groups(x, *x_scale, weight, weight_scale, out, k, n);
        return;
    }
#endif
    linear(x, x_scale, weight, weight_scale, bias, out, rows, k, n);
}
