// The softmax of mcu_attention_s8_dynamic on Helium.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention.h"
#include "kernels/math/math_helium.h"

// scores[t] *= key_scales[t]; returns the highest.
static inline float scale_scores(float* scores, const uint16_t* key_scales, int32_t count) {
    float32x4_t highest = vdupq_n_f32(-__builtin_inff());
    mcu_for_lanes(count, [&](int32_t t, auto lanes) {
        const float32x4_t score = vmulq_f32(mcu_load(scores + t, lanes), mcu_load(key_scales + t, lanes));
        mcu_store(scores + t, score, lanes);
        highest = mcu_max(highest, score, lanes);
    });
    return vmaxnmvq_f32(-__builtin_inff(), highest);
}

// scores[t] becomes the weight w of values[t], e^(score - highest) * value_scales[t]; `sum` the lane sum of the
// exponentials alone. Returns the greatest weight.
static inline float weigh(float* scores, const uint16_t* value_scales, int32_t count, float highest, float& sum) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    float32x4_t greatest = vdupq_n_f32(0.0f);
    mcu_for_lanes(count, [&](int32_t t, auto lanes) {
        const float32x4_t e = mcu_exp_lanes_below(vsubq_n_f32(mcu_load(scores + t, lanes), highest));
        const float32x4_t weight = vmulq_f32(e, mcu_load(value_scales + t, lanes));
        mcu_store(scores + t, weight, lanes);
        sums = mcu_add(sums, e, lanes);
        greatest = mcu_max(greatest, weight, lanes);
    });
    sum = mcu_total_of_lanes(sums);
    return vmaxnmvq_f32(0.0f, greatest);
}

// p[t] = rint(weights[t] * factor), with zeros behind them.
static inline void round_weights(const float* weights, mcu_probability* p, int32_t count, float factor) {
    vstrbq_s8(p + ((count - 1) & ~15), vdupq_n_s8(0));
    mcu_for_lanes(count, [=](int32_t t, auto lanes) {
        mcu_store(p + t, vcvtnq_s32_f32(vmulq_n_f32(mcu_load(weights + t, lanes), factor)), lanes);
    });
}
