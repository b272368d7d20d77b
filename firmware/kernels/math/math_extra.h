// More float32 functions with the same bits on every target; for operators that no fused kernel covers.
#pragma once

#include "kernels/math/math.h"

// Adding and taking away 2^23 leaves the nearest integer, ties to even; from there on all floats are integers.
static inline float mcu_rintf(float x) {
    const float a = mcu_absf(x);
    if (!(a < 8388608.0f)) return x;
    const float rounded = (a + 8388608.0f) - 8388608.0f;
    return mcu_from_bits(mcu_bits(rounded) | (mcu_bits(x) & 0x80000000u));
}

static inline float mcu_floorf(float x) {
    const float rounded = mcu_rintf(x);
    return rounded > x ? rounded - 1.0f : rounded;
}

static inline float mcu_truncf(float x) {
    const float down = mcu_floorf(mcu_absf(x));
    return mcu_from_bits(mcu_bits(down) | (mcu_bits(x) & 0x80000000u));
}

// e^x for all x: 0 below -86 (float32's normal numbers end at -87.3), infinity beyond 88.72, a NaN for a NaN.
static inline float mcu_exp_wide(float x) {
    if (x != x) return x;
    if (x < -86.0f) return 0.0f;
    if (x <= 88.0f) return mcu_expf(x);
    const float half = mcu_expf((x < 180.0f ? x : 180.0f) * 0.5f);
    return half * half;
}

// ln x; relative error below 3e-7. -infinity for 0 (and subnormals, which are 0), a NaN for what is negative.
//
// x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m - 1) / (m + 1), by its Taylor series to s^9.
static inline float mcu_logf(float x) {
    if (!(x >= 1.17549435e-38f)) {
        if (x != x || x < 0.0f) return __builtin_nanf("");
        return -__builtin_inff();
    }
    if (x > 3.40282347e38f) return x;
    const uint32_t bits = mcu_bits(x) - 0x3F3504F3u;  // of sqrt(1/2)
    const float e = float(int32_t(bits) >> 23);
    const float m = mcu_from_bits((bits & 0x7FFFFFu) + 0x3F3504F3u);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float z = s * s;
    float y = mcu_fmaf(z, 0.2222222222f, 0.2857142857f);
    y = mcu_fmaf(y, z, 0.4f);
    y = mcu_fmaf(y, z, 0.6666666667f);
    y = mcu_fmaf(y * z, s, 2.0f * s);
    y = mcu_fmaf(e, -2.12194440e-4f, y);
    return mcu_fmaf(e, 0.693359375f, y);
}
