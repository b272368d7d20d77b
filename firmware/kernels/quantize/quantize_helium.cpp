#include "kernels/math/variant.h"
#include "kernels/quantize/quantize.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

// Eight integers of `even` and `odd` places, saturated to 16 bits on the way, which no int8 result can tell.
static inline int16x8_t finished(float32x4_t even, float32x4_t odd, float inverse, int16_t zero_point, int16x8_t low,
                                 int16x8_t high) {
    const int32x4_t rounded = vcvtnq_s32_f32(vmulq_n_f32(even, inverse));
    int16x8_t value = vqmovnbq_s32(vreinterpretq_s16_s32(rounded), rounded);
    value = vqmovntq_s32(value, vcvtnq_s32_f32(vmulq_n_f32(odd, inverse)));
    return vminq_s16(vmaxq_s16(vqaddq_n_s16(value, zero_point), low), high);
}

void mcu_quantize(const float* x, int8_t* out, int32_t n, float inverse, int32_t zero_point, int32_t low,
                  int32_t high) {
    const int16x8_t floor = vdupq_n_s16(int16_t(low));
    const int16x8_t ceiling = vdupq_n_s16(int16_t(high));
    for (; n >= 8; n -= 8, x += 8, out += 8) {
        const float32x4x2_t pairs = vld2q_f32(x);
        vstrbq_s16(out, finished(pairs.val[0], pairs.val[1], inverse, int16_t(zero_point), floor, ceiling));
    }
#pragma GCC unroll 1                           // at most two turns
    for (; n > 0; n -= 4, x += 4, out += 4) {  // the even places of eight
        const mve_pred16_t tail = vctp32q(uint32_t(n));
        const float32x4_t four = vld1q_z_f32(x, tail);
        const int16x8_t value = finished(four, four, inverse, int16_t(zero_point), floor, ceiling);
        vstrbq_p_s32(out, vreinterpretq_s32_s16(value), tail);
    }
}
#endif
