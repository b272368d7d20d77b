// Quantizing a row by its greatest magnitude.
#pragma once

#include "kernels/math.h"
#include "kernels/math_helium.h"

// mcu_greatest_magnitude.
static inline float mcu_row_magnitude(const float* x, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    float32x4_t m = vdupq_n_f32(0.0f);
    for (; n >= 16; n -= 16, x += 16) {
        m = vmaxnmaq_f32(m, vldrwq_f32(x));
        m = vmaxnmaq_f32(m, vldrwq_f32(x + 4));
        m = vmaxnmaq_f32(m, vldrwq_f32(x + 8));
        m = vmaxnmaq_f32(m, vldrwq_f32(x + 12));
    }
    mcu_for_lanes(n, [&](int32_t i, auto lanes) { m = vmaxnmaq_f32(m, mcu_load(x + i, lanes)); });
    const float greatest = vmaxnmavq_f32(0.0f, m);
    return greatest > MCU_TINY ? greatest : 1.0f;
#else
    return mcu_greatest_magnitude(x, n);
#endif
}

#if defined(MCU_HELIUM_FLOAT)
// Four of mcu_row_quantize.
template <typename Lanes>
static inline void mcu_row_quantize_lanes(const float* x, int8_t* q, float inverse, Lanes lanes) {
    mcu_store(q, vcvtnq_s32_f32(vmulq_n_f32(mcu_load(x, lanes), inverse)), lanes);
}
#endif

// q[i] = rint(x[i] * inverse) for n floats, where inverse is 127 / m, the row's greatest magnitude m as above; NaNs
// give 0. No result lies beyond 127: no |x| is above m, and 127 with its two rounding errors is not yet 127.5.
static inline void mcu_row_quantize(const float* x, int8_t* q, int32_t n, float inverse) {
#if defined(MCU_HELIUM_FLOAT)
    for (; n >= 16; n -= 16, x += 16, q += 16) {
        for (int32_t i = 0; i < 16; i += 4) mcu_row_quantize_lanes(x + i, q + i, inverse, McuAllLanes{});
    }
    mcu_for_lanes(n, [=](int32_t i, auto lanes) { mcu_row_quantize_lanes(x + i, q + i, inverse, lanes); });
#else
    for (int32_t i = 0; i < n; ++i) q[i] = int8_t(mcu_round_clamped(x[i] * inverse, -127, 127));
#endif
}
