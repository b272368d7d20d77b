// What kernels/norm/layer_norm_rows.h does with a row, on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

// row[i] = fma(y[i], ratio, x[i]); returns its lane sum.
template <typename T>
static inline float add_rows(const T* x, const T* y, float ratio, float* row, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t first = vcvtq_f32_s32(mcu_next(x, lanes));
        const float32x4_t sum = vfmaq_n_f32(first, vcvtq_f32_s32(mcu_next(y, lanes)), ratio);
        mcu_put(row, sum, lanes);
        sums = vaddq_f32(sums, sum);  // zeros behind the end
    });
    return mcu_total_of_lanes(sums);
}

// row[i] = x[i]; returns its lane sum.
template <typename T>
static inline float widen_row(const T* x, float* row, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t value = vcvtq_f32_s32(mcu_next(x, lanes));
        mcu_put(row, value, lanes);
        sums = vaddq_f32(sums, value);
    });
    return mcu_total_of_lanes(sums);
}

static inline int32x4_t rounded(float32x4_t value, const int8_t*) { return mcu_round_clamped_lanes(value, -128, 127); }
static inline int32x4_t rounded(float32x4_t value, const int16_t*) { return mcu_round_to_halfwords(value); }

// out[i] = clamp(rint(fma((x[i] - mean) * root, weight[i], bias[i]))).
template <typename T>
static inline void apply(const float* x, float mean, float root, const float* weight, const float* bias, T* out,
                         int32_t n) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(vsubq_n_f32(mcu_next(x, lanes), mean), root);
        const float32x4_t value = vfmaq_f32(mcu_next(bias, lanes), scaled, mcu_next(weight, lanes));
        mcu_put(out, rounded(value, out), lanes);
    });
}
