// int8 values as floats: what reading an embedding and dequantizing have in common.
#pragma once

#include <stdint.h>

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

// out[i] = float(x[i]) * scale for n elements.
static inline void mcu_scale_s8(const int8_t* x, float* out, int32_t n, float scale) {
#if defined(__ARM_FEATURE_MVE)
    for (; n >= 4; n -= 4, x += 4, out += 4) vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vldrbq_s32(x)), scale));
#endif
    for (int32_t i = 0; i < n; ++i) out[i] = float(x[i]) * scale;
}
