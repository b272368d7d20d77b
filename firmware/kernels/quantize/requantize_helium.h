// requantize.h and clamp_to_s8.h for four values on Helium.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

// mcu_requantize. The rounding shift takes ties up; one less for negative values makes that away from zero.
static inline int32x4_t mcu_requantize(int32x4_t value, int32x4_t multiplier, int32x4_t shift) {
    const int32x4_t zero = vdupq_n_s32(0);
    const int32x4_t right = vminq_s32(shift, zero);
    const int32x4_t high = vqrdmulhq_s32(vshlq_s32(value, vmaxq_s32(shift, zero)), multiplier);
    return vrshlq_s32(vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31)), right);
}

// mcu_clamp_to_s8, stored to out[4].
static inline void mcu_store_clamped(int8_t* out, int32x4_t value, int32_t zero_point, int32_t low, int32_t high) {
    const int32x4_t moved = vqaddq_n_s32(value, zero_point);
    vstrbq_s32(out, vminq_s32(vmaxq_s32(moved, vdupq_n_s32(low)), vdupq_n_s32(high)));
}
