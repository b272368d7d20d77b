// The parts of mcu_softmax_f32 in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

static inline float greatest(const float* x, int32_t n) {
    float highest = x[0];
    for (int32_t i = 1; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
    return highest;
}

static inline float exponentiate(const float* x, float highest, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) {
        const float difference = x[i] - highest;
        out[i] = difference < -86.0f ? 0.0f : mcu_expf(difference);
    }
    return mcu_lane_sum(out, n);
}

static inline void divide(float* out, float sum, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = out[i] / sum;
}
