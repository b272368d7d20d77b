// The parts of mcu_layer_norm_s8, the first two also of mcu_layer_norm_s16, in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

// row[i] = fma(y[i], ratio, x[i]); returns its lane sum.
template <typename T>
static inline float add_rows(const T* x, const T* y, float ratio, float* row, int32_t n) {
    for (int32_t i = 0; i < n; ++i) row[i] = mcu_fmaf(float(y[i]), ratio, float(x[i]));
    return mcu_lane_sum(row, n);
}

// row[i] = x[i]; returns its lane sum.
template <typename T>
static inline float widen_row(const T* x, float* row, int32_t n) {
    for (int32_t i = 0; i < n; ++i) row[i] = float(x[i]);
    return mcu_lane_sum(row, n);
}

// out[i] = clamp(rint(fma((x[i] - mean) * root, weight[i], bias[i]))).
static inline void apply_to_s8(const float* x, float mean, float root, const float* weight, const float* bias,
                               int8_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = int8_t(mcu_round_clamped(mcu_fmaf((x[i] - mean) * root, weight[i], bias[i]), -128, 127));
    }
}
