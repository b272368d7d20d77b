// The parts of mcu_softmax_gate_s8 in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

static inline int32_t greatest_score(const int8_t* scores, int32_t n) {
    int32_t greatest = -128;
    for (int32_t i = 0; i < n; ++i) greatest = scores[i] > greatest ? scores[i] : greatest;
    return greatest;
}

// terms[i] = e^((scores[i] - greatest) scale); returns their lane sum.
static inline float exponentiate(const int8_t* scores, int32_t greatest, float scale, float* terms, int32_t n) {
    for (int32_t i = 0; i < n; ++i) terms[i] = mcu_expf(float(scores[i] - greatest) * scale);
    return mcu_lane_sum(terms, n);
}

// out[i] = clamp(rint((terms[i] (x[i] - zero_point)) factor) + out_zero_point).
static inline void multiply(const int8_t* x, const float* terms, float factor, int32_t zero_point,
                            int32_t out_zero_point, int8_t* out, int32_t n) {
    const int32_t low = -128 - out_zero_point;
    const int32_t high = 127 - out_zero_point;
    for (int32_t i = 0; i < n; ++i) {
        const float product = terms[i] * float(x[i] - zero_point) * factor;
        out[i] = int8_t(mcu_round_clamped(product, low, high) + out_zero_point);
    }
}
