// The parts of mcu_layer_norm in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

static inline float lane_sum(const float* x, int32_t n) { return mcu_lane_sum(x, n); }

static inline float lane_sum_of_squares(const float* x, int32_t n, float mean) {
    return mcu_lane_sum_of_squares(x, n, mean);
}

static inline void apply(const float* x, float mean, float root, const float* weight, const float* bias, float* out,
                         int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_fmaf((x[i] - mean) * root, weight[i], bias[i]);
}
