// The parts of kernels/quantize/row_s8.cpp on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

static inline float row_magnitude(const float* x, int32_t n) {
    float32x4_t lanes = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto some) { lanes = vmaxnmaq_f32(lanes, mcu_next(x, some)); });  // ignores quiet NaNs
    const float greatest = vmaxnmavq_f32(0.0f, lanes);
    return greatest > MCU_TINY ? greatest : 1.0f;
}

static inline void row_quantize(const float* x, int8_t* q, int32_t n, float inverse) {
    mcu_walk_lanes(n, [&](auto lanes) { mcu_put(q, vcvtnq_s32_f32(vmulq_n_f32(mcu_next(x, lanes), inverse)), lanes); });
}
