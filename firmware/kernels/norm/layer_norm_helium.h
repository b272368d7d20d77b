// The parts of mcu_layer_norm on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

static inline float lane_sum(const float* x, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) { sums = vaddq_f32(sums, mcu_next(x, lanes)); });  // zeros behind the end
    return mcu_total_of_lanes(sums);
}

static inline float lane_sum_of_squares(const float* x, int32_t n, float mean) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t centred = vsubq_n_f32(mcu_next(x, lanes), mean);
        sums = mcu_fma(sums, centred, centred, lanes);
    });
    return mcu_total_of_lanes(sums);
}

static inline void apply(const float* x, float mean, float root, const float* weight, const float* bias, float* out,
                         int32_t n) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(vsubq_n_f32(mcu_next(x, lanes), mean), root);
        mcu_put(out, vfmaq_f32(mcu_next(bias, lanes), scaled, mcu_next(weight, lanes)), lanes);
    });
}
