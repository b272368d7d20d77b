// Float32 arithmetic that gives the same bits on every target: what the kernels use in the place of libm.
//
// The formulas, constants and the order of operations are those of mcu_sdk/operators/reference/exact_math.py. Compile
// with -ffp-contract=off and -fno-math-errno; subnormals are flushed to zero by the platform (docs/numerics.md).
#pragma once

#include <stdint.h>

// A greatest magnitude at or below this counts as zero when a scale is made of it: 127 / m must stay finite.
#define MCU_TINY 1e-30f

static inline uint32_t mcu_bits(float x) { return __builtin_bit_cast(uint32_t, x); }
static inline float mcu_from_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }

// |x|: clears the sign bit, also of a NaN.
static inline float mcu_absf(float x) { return mcu_from_bits(mcu_bits(x) & 0x7FFFFFFFu); }

// IEEE 754's square root, one instruction on cores with an FPU.
static inline float mcu_sqrtf(float x) { return __builtin_sqrtf(x); }

// a + b in int32, wrapping.
static inline int32_t mcu_add_wrapping(int32_t a, int32_t b) { return int32_t(uint32_t(a) + uint32_t(b)); }

// a * b + c with one rounding.
static inline float mcu_fmaf(float a, float b, float c) {
#if defined(__ARM_FEATURE_FMA) || defined(__FMA__)
    return __builtin_fmaf(a, b, c);
#else
    // The product is exact in double. The sum is rounded to odd there (the neighbour with an odd last bit, wherever
    // it is not exact), so that only the last rounding counts: 53 >= 2 * 24 + 2 bits.
    const double product = double(a) * double(b);
    const double addend = double(c);
    const double total = product + addend;
    const double part = total - product;
    const double error = (product - (total - part)) + (addend - part);
    uint64_t bits = __builtin_bit_cast(uint64_t, total);
    if ((error < 0.0 || error > 0.0) && (bits & 1) == 0) {  // neither holds for the NaN of an infinite total
        bits = (error > 0.0) == (total > 0.0) ? bits + 1 : bits - 1;
    }
    return float(__builtin_bit_cast(double, bits));
#endif
}

// Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits: exact for |x| <= 2^22.
#define MCU_ROUNDER 12582912.0f

// x to the nearest integer, ties to even. |x| <= 2^22.
static inline int32_t mcu_round(float x) { return int32_t(mcu_bits(x + MCU_ROUNDER) - mcu_bits(MCU_ROUNDER)); }

// x to the nearest integer, ties to even, within [low, high], where -2^22 <= low <= 0 <= high <= 2^22. A NaN gives 0.
static inline int32_t mcu_round_clamped(float x, int32_t low, int32_t high) {
    const float floor = float(low);
    const float ceiling = float(high);
    float limited = x == x ? x : 0.0f;
    limited = limited > floor ? limited : floor;
    limited = limited < ceiling ? limited : ceiling;
    return mcu_round(limited);
}

// e^x for x clamped to [-86, 88] (a NaN counts as -86); relative error below 2.5e-7.
static inline float mcu_expf(float x) {
    x = x > -86.0f ? x : -86.0f;
    x = x < 88.0f ? x : 88.0f;
    const float shifted = x * 1.44269504f + MCU_ROUNDER;
    const float n = shifted - MCU_ROUNDER;  // rint(x log2 e)
    float r = mcu_fmaf(n, -0.693359375f, x);
    r = mcu_fmaf(n, 2.12194440e-4f, r);
    float y = r * 0x1.10624ep-7f + 0x1.572a64p-5f;
    y = mcu_fmaf(y, r, 0x1.5557b0p-3f);
    y = mcu_fmaf(y, r, 0x1.fffdfcp-2f);
    y = mcu_fmaf(y, r, 1.0f);
    y = mcu_fmaf(y, r, 1.0f);
    const uint32_t exponent = mcu_bits(shifted) - mcu_bits(MCU_ROUNDER);  // n
    return mcu_from_bits(mcu_bits(y) + (exponent << 23));
}

// 127 e^x for x <= 0, to be rounded to an int8; a NaN, and what is below -44, gives next to 0. Relative error below
// 1.1e-4.
static inline float mcu_exp_share(float x) {
    float t = x * 1.44269504f;
    t = t > -64.0f ? t : -64.0f;
    const float shifted = t + MCU_ROUNDER;
    const float f = t - (shifted - MCU_ROUNDER);
    float y = f * 0x1.bf1d04p+2f + 0x1.ec2c56p+4f;
    y = mcu_fmaf(y, f, 0x1.603010p+6f);
    y = mcu_fmaf(y, f, 127.0f);
    const uint32_t exponent = mcu_bits(shifted) - mcu_bits(MCU_ROUNDER);
    return mcu_from_bits(mcu_bits(y) + (exponent << 23));
}

// a / b: a function, because on vectors there is no operator.
static inline float mcu_divide(float a, float b) { return a / b; }

// 1 + e^-x: SiLU is x divided by it.
static inline float mcu_sigmoid_denominator(float x) { return 1.0f + mcu_expf(-x); }

#define MCU_GELU_CUBIC float(0.044715 * 0.7978845608028654)
#define MCU_SQRT_2_OVER_PI 0.7978845608028654f

// 1 + e^(-2u), u = sqrt(2/pi) (x + 0.044715 x^3): GELU's approximation by tanh is x divided by it.
static inline float mcu_gelu_tanh_denominator(float x) {
    const float u = x * mcu_fmaf(x * x, MCU_GELU_CUBIC, MCU_SQRT_2_OVER_PI);
    return 1.0f + mcu_expf(-2.0f * u);
}

// Abramowitz and Stegun 7.1.26.
#define MCU_ERF_P 0.3275911f
#define MCU_ERF_A1 0.254829592f
#define MCU_ERF_A2 (-0.284496736f)
#define MCU_ERF_A3 1.421413741f
#define MCU_ERF_A4 (-1.453152027f)
#define MCU_ERF_A5 1.061405429f
#define MCU_SQRT_HALF 0.7071067811865476f

// The error function; absolute error below 6e-7.
static inline float mcu_erff(float x) {
    const float a = mcu_absf(x);
    const float t = 1.0f / mcu_fmaf(MCU_ERF_P, a, 1.0f);
    float y = MCU_ERF_A5;
    y = mcu_fmaf(y, t, MCU_ERF_A4);
    y = mcu_fmaf(y, t, MCU_ERF_A3);
    y = mcu_fmaf(y, t, MCU_ERF_A2);
    y = mcu_fmaf(y, t, MCU_ERF_A1);
    y = 1.0f - (y * t) * mcu_expf(-(a * a));
    return mcu_from_bits((mcu_bits(y) & 0x7FFFFFFFu) | (mcu_bits(x) & 0x80000000u));
}

// GELU by the error function: (0.5 x) (1 + erf(x / sqrt 2)).
static inline float mcu_gelu_erf(float x) { return (0.5f * x) * (1.0f + mcu_erff(x * MCU_SQRT_HALF)); }

// The total of four lanes, in the order that ends every lane sum.
static inline float mcu_lane_total(const float* lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

// The sum of n floats in four lanes: lane j adds elements j, j + 4, ... in order, then (0 + 1) + (2 + 3).
static inline float mcu_lane_sum(const float* x, int32_t n) {
    float lanes[4] = {};
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int32_t j = 0; j < 4; ++j) lanes[j] += x[i + j];
    }
    for (int32_t j = 0; i + j < n; ++j) lanes[j] += x[i + j];
    return mcu_lane_total(lanes);
}

// As mcu_lane_sum of (x - offset)^2, each step a fused multiply-add.
static inline float mcu_lane_sum_of_squares(const float* x, int32_t n, float offset) {
    float lanes[4] = {};
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int32_t j = 0; j < 4; ++j) {
            const float d = x[i + j] - offset;
            lanes[j] = mcu_fmaf(d, d, lanes[j]);
        }
    }
    for (int32_t j = 0; i + j < n; ++j) {
        const float d = x[i + j] - offset;
        lanes[j] = mcu_fmaf(d, d, lanes[j]);
    }
    return mcu_lane_total(lanes);
}

// max |x| of n floats, NaNs ignored; 1 where nothing is above MCU_TINY, so that a scale can be made of it.
static inline float mcu_greatest_magnitude(const float* x, int32_t n) {
    float m = 0.0f;
    for (int32_t i = 0; i < n; ++i) {
        const float a = mcu_absf(x[i]);
        m = a > m ? a : m;
    }
    return m > MCU_TINY ? m : 1.0f;
}

// The float32 of the float16 with these bits, exactly.
static inline float mcu_from_half(uint16_t half) {
    const uint32_t sign = uint32_t(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1Fu;
    const uint32_t fraction = half & 0x3FFu;
    if (exponent == 0) {  // zero, or fraction * 2^-24
        return mcu_from_bits(sign | mcu_bits(float(int32_t(fraction)) * 0x1p-24f));
    }
    if (exponent == 31) return mcu_from_bits(sign | 0x7F800000u | (fraction << 13));
    return mcu_from_bits(sign | ((exponent + 112) << 23) | (fraction << 13));
}

// The bits of the float16 nearest to x, ties to even. 2^-14 <= x <= 65504, the range of normal numbers.
static inline uint16_t mcu_to_half(float x) {
    const uint32_t bits = mcu_bits(x) - (112u << 23);
    return uint16_t((bits + 0xFFFu + ((bits >> 13) & 1u)) >> 13);
}
