// What kernels/norm/layer_norm_rows.h does with a row, in plain C++.
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

static inline int32_t rounded(float value, const int8_t*) { return mcu_round_clamped(value, INT8_MIN, INT8_MAX); }
static inline int32_t rounded(float value, const int16_t*) { return mcu_round_clamped(value, INT16_MIN, INT16_MAX); }

// out[i] = clamp(rint(fma((x[i] - mean) * root, weight[i], bias[i]))).
template <typename T>
static inline void apply(const float* x, float mean, float root, const float* weight, const float* bias, T* out,
                         int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = T(rounded(mcu_fmaf((x[i] - mean) * root, weight[i], bias[i]), out));
}
