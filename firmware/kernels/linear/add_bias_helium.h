// The bias of a float result, added behind the product, on Helium.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

// out[i] += bias[i] for n elements.
static inline void mcu_add_bias(const float* bias, float* out, int32_t n) {
    for (; n >= 4; n -= 4, bias += 4, out += 4) vst1q_f32(out, vaddq_f32(vld1q_f32(out), vld1q_f32(bias)));
    for (int32_t i = 0; i < n; ++i) out[i] += bias[i];
}
