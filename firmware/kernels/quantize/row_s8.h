// Quantizing a row by its greatest magnitude.
#pragma once

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

// mcu_greatest_magnitude.
static inline float mcu_row_magnitude(const float* x, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    float32x4_t lanes = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto some) { lanes = vmaxnmaq_f32(lanes, mcu_next(x, some)); });  // ignores quiet NaNs
    const float greatest = vmaxnmavq_f32(0.0f, lanes);
    return greatest > MCU_TINY ? greatest : 1.0f;
#else
    return mcu_greatest_magnitude(x, n);
#endif
}

// q[i] = rint(x[i] * inverse) for n floats, where inverse is 127 / m, the row's greatest magnitude m as above; NaNs
// give 0. No result lies beyond 127: no |x| is above m, and 127 with its two rounding errors is not yet 127.5.
static inline void mcu_row_quantize(const float* x, int8_t* q, int32_t n, float inverse) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_walk_lanes(n, [&](auto lanes) { mcu_put(q, vcvtnq_s32_f32(vmulq_n_f32(mcu_next(x, lanes), inverse)), lanes); });
#else
    for (int32_t i = 0; i < n; ++i) q[i] = int8_t(mcu_round_clamped(x[i] * inverse, -127, 127));
#endif
}

// The float16 scale of a row of a KV cache: max |x| / 127, within float16's normal numbers.
static inline uint16_t mcu_row_scale(const float* x, int32_t n) {
    float scale = mcu_row_magnitude(x, n) / 127.0f;
    scale = scale > 0x1p-14f ? scale : 0x1p-14f;
    scale = scale < 65504.0f ? scale : 65504.0f;
    return mcu_to_half(scale);
}
