// The parts of mcu_quantize_rows on Helium.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

#include "kernels/math/math.h"

// max |x|, quiet NaNs ignored; 1 where nothing is above MCU_TINY.
static inline float greatest_magnitude(const float* x, int32_t n) {
    float32x4_t m = vdupq_n_f32(0.0f);
    for (; n >= 16; n -= 16, x += 16) {
        m = vmaxnmaq_f32(m, vld1q_f32(x));
        m = vmaxnmaq_f32(m, vld1q_f32(x + 4));
        m = vmaxnmaq_f32(m, vld1q_f32(x + 8));
        m = vmaxnmaq_f32(m, vld1q_f32(x + 12));
    }
#pragma GCC unroll 1  // at most three turns
    for (; n > 0; n -= 4, x += 4) m = vmaxnmaq_f32(m, vld1q_z_f32(x, vctp32q(uint32_t(n))));
    const float greatest = vmaxnmavq_f32(0.0f, m);
    return greatest > MCU_TINY ? greatest : 1.0f;
}

// Four values to the nearest integer, ties to even; NaNs give 0. They are within [-127, 127] without a clamp: no |x| is
// above the greatest, and 127 with its two rounding errors is not yet 127.5.
static inline int32x4_t quantized(float32x4_t x, float inverse) { return vcvtnq_s32_f32(vmulq_n_f32(x, inverse)); }

static inline void quantize(const float* x, int8_t* q, int32_t n, float inverse) {
    for (; n >= 16; n -= 16, x += 16, q += 16) {
        vstrbq_s32(q, quantized(vld1q_f32(x), inverse));
        vstrbq_s32(q + 4, quantized(vld1q_f32(x + 4), inverse));
        vstrbq_s32(q + 8, quantized(vld1q_f32(x + 8), inverse));
        vstrbq_s32(q + 12, quantized(vld1q_f32(x + 12), inverse));
    }
#pragma GCC unroll 1  // at most three turns
    for (; n > 0; n -= 4, x += 4, q += 4) {
        const mve_pred16_t tail = vctp32q(uint32_t(n));
        vstrbq_p_s32(q, quantized(vld1q_z_f32(x, tail), inverse), tail);
    }
}
