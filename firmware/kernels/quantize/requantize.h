// From int32 accumulators to int8: TFLite's fixed-point multiplication, as CMSIS-NN's arm_nn_requantize does it.
#pragma once

#include <stdint.h>

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

// value * multiplier * 2^(shift - 31): a doubling high multiplication that rounds (adds 2^30 before the shift by 31),
// then a right shift to nearest, ties away from zero. multiplier >= 0, -31 <= shift <= 31; a value that the left
// shift makes overflow wraps.
static inline int32_t mcu_requantize(int32_t value, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t shifted = int32_t(uint32_t(value) << left);
    const int32_t high = int32_t((int64_t(shifted) * multiplier + (int64_t{1} << 30)) >> 31);
    const int32_t mask = int32_t((uint32_t{1} << right) - 1);
    const int32_t threshold = (mask >> 1) + (high < 0 ? 1 : 0);
    return (high >> right) + ((high & mask) > threshold ? 1 : 0);
}

#if defined(__ARM_FEATURE_MVE)
// The same for four values. The rounding shift takes ties up; one less for negative values makes that away from zero.
static inline int32x4_t mcu_requantize_four(int32x4_t value, int32x4_t multiplier, int32x4_t shift) {
    const int32x4_t zero = vdupq_n_s32(0);
    const int32x4_t right = vminq_s32(shift, zero);
    const int32x4_t high = vqrdmulhq_s32(vshlq_s32(value, vmaxq_s32(shift, zero)), multiplier);
    return vrshlq_s32(vqaddq_s32(high, vshrq_n_s32(vandq_s32(high, right), 31)), right);
}
#endif
