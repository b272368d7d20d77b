// kernels/linear/sums.h on Helium.
#pragma once

#include <arm_mve.h>

#include "kernels/linear/one_sum.h"
#include "kernels/quantize/requantize_helium.h"

struct McuFourSums {
    static int32x4_t load(const int32_t* from) { return vld1q_s32(from); }
    static float32x4_t load(const float* from) { return vld1q_f32(from); }
    static int32x4_t all(int32_t value) { return vdupq_n_s32(value); }

    static int32x4_t add(int32x4_t a, int32x4_t b) { return vaddq_s32(a, b); }
    static float32x4_t to_float(int32x4_t sums) { return vcvtq_f32_s32(sums); }
    static float32x4_t scale(float32x4_t value, float factor) { return vmulq_n_f32(value, factor); }

    static void store(float* out, float32x4_t value) { vst1q_f32(out, value); }
    static void store(int8_t* out, int32x4_t value, int32_t zero_point, int32_t low, int32_t high) {
        mcu_store_clamped(out, value, zero_point, low, high);
    }
    static void store(int16_t* out, int32x4_t value, const int16_t* added) {
        vstrhq_s32(out, saturate(vaddq_s32(saturate(value), vldrhq_s32(added))));
    }

    static int32x4_t saturate(int32x4_t value) {
        return vmaxq_s32(vminq_s32(value, vdupq_n_s32(INT16_MAX)), vdupq_n_s32(INT16_MIN));
    }
};

// Calls formula(lanes, c, sum) for the sums of the channels c to end - 1, at most four: once for four.
template <typename Formula>
static inline void mcu_over_sums(const int32_t* sums, int32_t c, int32_t end, Formula formula) {
    if (end - c == 4) {
        formula(McuFourSums{}, c, vld1q_s32(sums));
        return;
    }
    for (; c < end; ++c, ++sums) formula(McuOneSum{}, c, *sums);
}
