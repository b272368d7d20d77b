// kernels/quantize/scale_s8.h on Helium.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

static inline void mcu_scale_s8(const int8_t* x, float* out, int32_t n, float scale) {
    for (; n >= 4; n -= 4, x += 4, out += 4) vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vldrbq_s32(x)), scale));
    for (int32_t i = 0; i < n; ++i) out[i] = float(x[i]) * scale;
}
