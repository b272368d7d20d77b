// The softmax of mcu_attention_s8 in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention.h"
#include "kernels/math/math.h"

// The probabilities of scores[count] as integers; returns their sum.
static inline int32_t exponentiate(float* scores, mcu_probability* p, int32_t count) {
    int32_t sum = 0;
    float highest = -__builtin_inff();
    for (int32_t t = 0; t < count; ++t) highest = scores[t] > highest ? scores[t] : highest;
    for (int32_t t = 0; t < count; ++t) {
        const float weight = mcu_expf(scores[t] - highest);
        p[t] = mcu_probability(mcu_round_clamped(weight * MCU_PROBABILITY_ONE, 0, int32_t(MCU_PROBABILITY_ONE)));
        sum += p[t];
    }
    return sum;
}
