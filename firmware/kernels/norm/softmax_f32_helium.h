// The parts of mcu_softmax_f32 on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

static inline float greatest(const float* x, int32_t n) {
    if (*x != *x) return *x;  // what the comparisons of the portable kernel cannot get away from
    float32x4_t most = vdupq_n_f32(*x);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t four = mcu_next(x, lanes);
        most = mcu_max(most, four, lanes);
    });
    return vmaxnmvq_f32(-__builtin_inff(), most);
}

// out = e^(x - highest), 0 where that is below e^-86; returns its lane sum.
static inline float exponentiate(const float* x, float highest, float* out, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_for_lanes(n, [&](int32_t i, auto lanes) {
        const float32x4_t difference = vsubq_n_f32(mcu_load(x + i, lanes), highest);
        const float32x4_t power = mcu_exp_lanes_below(difference);
        // "Greater" is false for NaNs; "less" would be true for them. Clang 19 exchanges the sides of a comparison with
        // a constant all the same, so the constant is hidden from it.
        float32x4_t least = vdupq_n_f32(-86.0f);
        asm("" : "+w"(least));
        const mve_pred16_t none = vcmpgtq_f32(least, difference);
        const float32x4_t e = vpselq_f32(vdupq_n_f32(0.0f), power, none);
        sums = mcu_add(sums, e, lanes);
        mcu_store(out + i, e, lanes);
    });
    return mcu_total_of_lanes(sums);
}

static inline void divide(float* out, float sum, int32_t n) {
    const float32x4_t divisor = vdupq_n_f32(sum);
    mcu_for_lanes(
        n, [=](int32_t i, auto lanes) { mcu_store(out + i, mcu_divide(mcu_load(out + i, lanes), divisor), lanes); });
}
