// The parts of mcu_rms_norm in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

static inline float sum_of_squares(const float* x, int32_t n) { return mcu_lane_sum_of_squares(x, n, 0.0f); }

static inline void apply(const float* x, float root, const float* weight, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = (x[i] * root) * weight[i];
}
