// tanh, sine and cosine with the same bits on every target; for operators that no fused kernel covers.
#pragma once

#include "kernels/math/math.h"

// tanh; absolute error below 3e-7, odd by the sign bit.
static inline float mcu_tanhf(float x) {
    const float t = mcu_expf(-2.0f * mcu_absf(x));
    const float y = (1.0f - t) / (1.0f + t);
    return mcu_from_bits((mcu_bits(y) & 0x7FFFFFFFu) | (mcu_bits(x) & 0x80000000u));
}

// sin(x + quarter * pi / 2) for |x| up to 2^18: n = rint(x * 2 / pi), the rest within +-pi / 4 by pi / 2 in three
// parts, a polynomial there. Absolute error below 2e-7 for |x| < 2^13.
static inline float mcu_sine_of_quarters(float x, uint32_t quarter) {
    const float shifted = x * 0.636619772f + MCU_ROUNDER;
    const uint32_t n = mcu_bits(shifted) - mcu_bits(MCU_ROUNDER) + quarter;
    const float whole = shifted - MCU_ROUNDER;
    float r = mcu_fmaf(whole, -1.5703125f, x);
    r = mcu_fmaf(whole, -4.837512969970703125e-4f, r);
    r = mcu_fmaf(whole, -7.54978995489188216e-8f, r);
    const float z = r * r;
    float s = mcu_fmaf(z, -1.9515295891e-4f, 8.3321608736e-3f);
    s = mcu_fmaf(s, z, -1.6666654611e-1f);
    s = mcu_fmaf(s * z, r, r);
    float c = mcu_fmaf(z, 2.443315711809948e-5f, -1.388731625493765e-3f);
    c = mcu_fmaf(c, z, 4.166664568298827e-2f);
    c = mcu_fmaf(c * z, z, mcu_fmaf(z, -0.5f, 1.0f));
    const float y = (n & 1) != 0 ? c : s;
    return (n & 2) != 0 ? -y : y;
}

static inline float mcu_sinf(float x) { return mcu_sine_of_quarters(x, 0); }
static inline float mcu_cosf(float x) { return mcu_sine_of_quarters(x, 1); }
