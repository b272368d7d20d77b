// The last step of every quantized operator.
#pragma once

#include <stdint.h>

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

// value + zero_point clamped to [low, high], for any value: -128 <= low <= high <= 127, zero_point within int8.
static inline int8_t mcu_clamp_to_s8(int32_t value, int32_t zero_point, int32_t low, int32_t high) {
    // Limiting before the zero point is added cannot overflow.
    value = value < low - zero_point ? low - zero_point : value;
    value = value > high - zero_point ? high - zero_point : value;
    return int8_t(value + zero_point);
}

#if defined(__ARM_FEATURE_MVE)
// The same for four values, stored to out[4].
static inline void mcu_store_four_s8(int8_t* out, int32x4_t value, int32_t zero_point, int32_t low, int32_t high) {
    const int32x4_t moved = vqaddq_n_s32(value, zero_point);
    vstrbq_s32(out, vminq_s32(vmaxq_s32(moved, vdupq_n_s32(low)), vdupq_n_s32(high)));
}
#endif
