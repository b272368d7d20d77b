// The parts of mcu_softmax_gate_s8 on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

static inline int32_t greatest_score(const int8_t* scores, int32_t n) {
    int8x16_t most = vdupq_n_s8(-128);
    for (; n > 0; n -= 16, scores += 16) {
        const mve_pred16_t some = vctp8q(uint32_t(n));
        most = vmaxq_m_s8(most, most, vldrbq_z_s8(scores, some), some);
    }
    return vmaxvq_s8(-128, most);
}

// terms[i] = e^((scores[i] - greatest) scale); returns their lane sum.
static inline float exponentiate(const int8_t* scores, int32_t greatest, float scale, float* terms, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_for_lanes(n, [&](int32_t i, auto lanes) {
        const int32x4_t difference = vsubq_n_s32(mcu_next(scores, lanes), greatest);
        const float32x4_t e = mcu_exp_lanes_below(vmulq_n_f32(vcvtq_f32_s32(difference), scale));
        sums = mcu_add(sums, e, lanes);
        mcu_store(terms + i, e, lanes);
    });
    return mcu_total_of_lanes(sums);
}

// out[i] = clamp(rint((terms[i] (x[i] - zero_point)) factor) + out_zero_point).
static inline void multiply(const int8_t* x, const float* terms, float factor, int32_t zero_point,
                            int32_t out_zero_point, int8_t* out, int32_t n) {
    const int32_t low = -128 - out_zero_point;
    const int32_t high = 127 - out_zero_point;
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t whole = vcvtq_f32_s32(vsubq_n_s32(mcu_next(x, lanes), zero_point));
        const float32x4_t product = vmulq_n_f32(vmulq_f32(mcu_next(terms, lanes), whole), factor);
        mcu_put(out, vaddq_n_s32(mcu_round_clamped_lanes(product, low, high), out_zero_point), lanes);
    });
}
