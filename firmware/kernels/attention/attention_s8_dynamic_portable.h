// The softmax of mcu_attention_s8_dynamic in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention.h"
#include "kernels/math/math.h"

// scores[t] *= key_scales[t]; returns the highest.
static inline float scale_scores(float* scores, const uint16_t* key_scales, int32_t count) {
    float highest = -__builtin_inff();
    for (int32_t t = 0; t < count; ++t) {
        scores[t] *= mcu_from_half(key_scales[t]);
        highest = scores[t] > highest ? scores[t] : highest;
    }
    return highest;
}

// scores[t] becomes the weight w of values[t], e^(score - highest) * value_scales[t]; `sum` the lane sum of the
// exponentials alone. Returns the greatest weight.
static inline float weigh(float* scores, const uint16_t* value_scales, int32_t count, float highest, float& sum) {
    for (int32_t t = 0; t < count; ++t) scores[t] = mcu_expf(scores[t] - highest);
    sum = mcu_lane_sum(scores, count);
    float greatest = 0.0f;
    for (int32_t t = 0; t < count; ++t) {
        scores[t] *= mcu_from_half(value_scales[t]);
        greatest = scores[t] > greatest ? scores[t] : greatest;
    }
    return greatest;
}

// p[t] = rint(weights[t] * factor).
static inline void round_weights(const float* weights, mcu_probability* p, int32_t count, float factor) {
    for (int32_t t = 0; t < count; ++t) {
        p[t] = mcu_probability(mcu_round_clamped(weights[t] * factor, 0, int32_t(MCU_PROBABILITY_ONE)));
    }
}
