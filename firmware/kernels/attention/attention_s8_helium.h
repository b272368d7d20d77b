// The softmax of mcu_attention_s8 on Helium.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention.h"
#include "kernels/math/math_helium.h"

// The probabilities of scores[count] as integers, with zeros behind them; returns their sum.
static inline int32_t exponentiate(float* scores, mcu_probability* p, int32_t count) {
    int32_t sum = 0;
    for (int32_t t = count; t & 3; ++t) scores[t] = -__builtin_inff();  // fills up a four: the probability is 0
    float32x4_t lanes = vldrwq_f32(scores);
    for (int32_t t = 4; t < count; t += 4) lanes = vmaxnmq_f32(lanes, vldrwq_f32(scores + t));
    const float highest = vmaxnmvq_f32(-__builtin_inff(), lanes);

    vstrbq_s8(p + ((count - 1) & ~15), vdupq_n_s8(0));
    for (int32_t t = 0; t < count; t += 4) {
        const float32x4_t weight = mcu_exp_lanes_below(vsubq_n_f32(vldrwq_f32(scores + t), highest));
        const int32x4_t probability = vcvtnq_s32_f32(vmulq_n_f32(weight, MCU_PROBABILITY_ONE));
        sum = vaddvaq_s32(sum, probability);
        vstrbq_s32(p + t, probability);
    }
    return sum;
}
