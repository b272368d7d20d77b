// What changes attention's scores between the products and the softmax.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"
#include "kernels/math/trigonometry.h"

// scores[t] = cap * tanh(scores[t] * (1 / cap)), unless cap is 0, plus bias[t], unless that is null; returns the
// highest.
static inline float mcu_shape_scores(float* scores, const float* bias, float cap, int32_t count) {
    if (cap > 0.0f) {
        const float inverse = 1.0f / cap;
        for (int32_t t = 0; t < count; ++t) scores[t] = cap * mcu_tanhf(scores[t] * inverse);
    }
    float highest = -__builtin_inff();
    for (int32_t t = 0; t < count; ++t) {
        if (bias != nullptr) scores[t] += bias[t];
        highest = scores[t] > highest ? scores[t] : highest;
    }
    return highest;
}

// What a head's sink adds to the sum of e^(score - highest): a score that takes its share, and has no value. It may be
// above the highest.
static inline float mcu_sink_share(const float* sinks, int32_t head, float highest) {
    return sinks == nullptr ? 0.0f : mcu_expf(sinks[head] - highest);
}

// The row of bias[heads][positions] that a head adds to its scores of `visible` positions; its columns are distances,
// the last one that of the position itself.
static inline const float* mcu_bias_of(const float* bias, int32_t head, int32_t positions, int32_t visible) {
    return bias == nullptr ? bias : bias + (head + 1) * positions - visible;
}
