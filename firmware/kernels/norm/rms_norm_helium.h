// The parts of mcu_rms_norm on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

static inline float sum_of_squares(const float* x, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t part = mcu_next(x, lanes);  // zeros behind the end: they add nothing
        sums = vfmaq_f32(sums, part, part);
    });
    return mcu_total_of_lanes(sums);
}

static inline void apply(const float* x, float root, const float* weight, float* out, int32_t n) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_next(x, lanes), root);
        mcu_put(out, vmulq_f32(scaled, mcu_next(weight, lanes)), lanes);
    });
}
