// The float32 arithmetic of math.h on four lanes of Helium: the same formulas in the same order, so the same bits.
#pragma once

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include <arm_mve.h>

// What is inlined always is so for -Os: a call for every four elements costs more than it saves.

// mcu_expf within [-86, 88].
[[gnu::always_inline]] static inline float32x4_t mcu_exp_lanes_within(float32x4_t x) {
    const float32x4_t shifted = vaddq_n_f32(vmulq_n_f32(x, 1.44269504f), MCU_ROUNDER);
    const float32x4_t n = vsubq_n_f32(shifted, MCU_ROUNDER);
    float32x4_t r = vfmaq_n_f32(x, n, -0.693359375f);
    r = vfmaq_n_f32(r, n, 2.12194440e-4f);
    float32x4_t y = vaddq_n_f32(vmulq_n_f32(r, 0x1.10624ep-7f), 0x1.572a64p-5f);
    y = vfmasq_n_f32(y, r, 0x1.5557b0p-3f);
    y = vfmasq_n_f32(y, r, 0x1.fffdfcp-2f);
    y = vfmasq_n_f32(y, r, 1.0f);
    y = vfmasq_n_f32(y, r, 1.0f);
    // The rounder's own bits leave the word on the way to the exponent's place.
    const int32x4_t exponent = vshlq_n_s32(vreinterpretq_s32_f32(shifted), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(y), exponent));
}

// mcu_expf up to 88. A NaN counts as -86 there too: the number of the two is taken.
static inline float32x4_t mcu_exp_lanes_below(float32x4_t x) {
    return mcu_exp_lanes_within(vmaxnmq_f32(x, vdupq_n_f32(-86.0f)));
}

// mcu_expf.
[[gnu::always_inline]] static inline float32x4_t mcu_exp_lanes(float32x4_t x) {
    return mcu_exp_lanes_within(vminnmq_f32(vmaxnmq_f32(x, vdupq_n_f32(-86.0f)), vdupq_n_f32(88.0f)));
}

// mcu_from_half of the lower half of each lane. In q0, the only register whose number GNU's assembler (2.40) gets right
// in this instruction: it writes q(2n) for q(n).
static inline float32x4_t mcu_from_half_lanes(uint32x4_t halves) {
    register float32x4_t x asm("q0") = vreinterpretq_f32_u32(halves);
    asm("vcvtb.f32.f16 q0, q0" : "+w"(x));
    return x;
}

// mcu_round_clamped for limits that int32 holds: the conversion rounds ties to even, saturates, and makes 0 of a NaN.
static inline int32x4_t mcu_round_clamped_lanes(float32x4_t x, int32_t low, int32_t high) {
    return vmaxq_s32(vminq_s32(vcvtnq_s32_f32(x), vdupq_n_s32(high)), vdupq_n_s32(low));
}

// mcu_round_clamped to int16 in the low halfword of each lane; the high one is anything.
static inline int32x4_t mcu_round_to_halfwords(float32x4_t x) {
    const int32x4_t value = vcvtnq_s32_f32(x);
    return vreinterpretq_s32_s16(vqmovnbq_s32(vreinterpretq_s16_s32(value), value));
}

// a / b in each lane: Helium has no division; its registers are the scalar unit's.
[[gnu::always_inline]] static inline float32x4_t mcu_divide(float32x4_t a, float32x4_t b) {
    register float32x4_t q asm("q0") = a;
    register float32x4_t divisor asm("q1") = b;
    asm("vdiv.f32 s0, s0, s4\n\t"
        "vdiv.f32 s1, s1, s5\n\t"
        "vdiv.f32 s2, s2, s6\n\t"
        "vdiv.f32 s3, s3, s7"
        : "+w"(q)
        : "w"(divisor));
    return q;
}

// mcu_sigmoid_denominator.
[[gnu::always_inline]] static inline float32x4_t mcu_sigmoid_denominator(float32x4_t x) {
    return vaddq_n_f32(mcu_exp_lanes(vnegq_f32(x)), 1.0f);
}

// mcu_gelu_tanh_denominator.
static inline float32x4_t mcu_gelu_tanh_denominator(float32x4_t x) {
    const float32x4_t cubic = vfmasq_n_f32(vmulq_f32(x, x), vdupq_n_f32(MCU_GELU_CUBIC), MCU_SQRT_2_OVER_PI);
    return vaddq_n_f32(mcu_exp_lanes(vmulq_n_f32(vmulq_f32(x, cubic), -2.0f)), 1.0f);
}

// mcu_gelu_erf.
static inline float32x4_t mcu_gelu_erf(float32x4_t x) {
    const float32x4_t scaled = vmulq_n_f32(x, MCU_SQRT_HALF);
    const float32x4_t a = vabsq_f32(scaled);
    const float32x4_t one = vdupq_n_f32(1.0f);
    const float32x4_t t = mcu_divide(one, vfmaq_n_f32(one, a, MCU_ERF_P));
    float32x4_t y = vfmasq_n_f32(vdupq_n_f32(MCU_ERF_A5), t, MCU_ERF_A4);
    y = vfmasq_n_f32(y, t, MCU_ERF_A3);
    y = vfmasq_n_f32(y, t, MCU_ERF_A2);
    y = vfmasq_n_f32(y, t, MCU_ERF_A1);
    y = vsubq_f32(one, vmulq_f32(vmulq_f32(y, t), mcu_exp_lanes_below(vnegq_f32(vmulq_f32(a, a)))));
    const uint32x4_t sign = vandq_u32(vreinterpretq_u32_f32(scaled), vdupq_n_u32(0x80000000u));
    const uint32x4_t magnitude = vbicq_u32(vreinterpretq_u32_f32(y), vdupq_n_u32(0x80000000u));
    const float32x4_t erf = vreinterpretq_f32_u32(vorrq_u32(magnitude, sign));
    return vmulq_f32(vmulq_n_f32(x, 0.5f), vaddq_f32(erf, one));
}

// mcu_lane_total of four lanes.
static inline float mcu_total_of_lanes(float32x4_t lanes) {
    return (vgetq_lane_f32(lanes, 0) + vgetq_lane_f32(lanes, 1)) +
           (vgetq_lane_f32(lanes, 2) + vgetq_lane_f32(lanes, 3));
}

// Which lanes a step of a loop has: all four, or those that are left at the end.
struct McuAllLanes {};
struct McuLanes {
    mve_pred16_t predicate;
};

static inline float32x4_t mcu_load(const float* from, McuAllLanes) { return vldrwq_f32(from); }
static inline float32x4_t mcu_load(const float* from, McuLanes lanes) { return vldrwq_z_f32(from, lanes.predicate); }
// Float16, each as a float32.
static inline float32x4_t mcu_load(const uint16_t* from, McuAllLanes) { return mcu_from_half_lanes(vldrhq_u32(from)); }
static inline float32x4_t mcu_load(const uint16_t* from, McuLanes lanes) {
    return mcu_from_half_lanes(vldrhq_z_u32(from, lanes.predicate));
}
static inline int32x4_t mcu_load(const int32_t* from, McuAllLanes) { return vldrwq_s32(from); }
static inline int32x4_t mcu_load(const int32_t* from, McuLanes lanes) { return vldrwq_z_s32(from, lanes.predicate); }
static inline void mcu_store(float* to, float32x4_t x, McuAllLanes) { vstrwq_f32(to, x); }
static inline void mcu_store(float* to, float32x4_t x, McuLanes lanes) { vstrwq_p_f32(to, x, lanes.predicate); }
// The low byte of each lane.
static inline void mcu_store(int8_t* to, int32x4_t x, McuAllLanes) { vstrbq_s32(to, x); }
static inline void mcu_store(int8_t* to, int32x4_t x, McuLanes lanes) { vstrbq_p_s32(to, x, lanes.predicate); }
// The low halfword of each lane.
static inline void mcu_store(int16_t* to, int32x4_t x, McuAllLanes) { vstrhq_s32(to, x); }
static inline void mcu_store(int16_t* to, int32x4_t x, McuLanes lanes) { vstrhq_p_s32(to, x, lanes.predicate); }
// The low byte of lane j to the byte `to + offsets[j]`.
static inline void mcu_scatter(int8_t* to, uint32x4_t offsets, int32x4_t x, McuAllLanes) {
    vstrbq_scatter_offset_s32(to, offsets, x);
}
static inline void mcu_scatter(int8_t* to, uint32x4_t offsets, int32x4_t x, McuLanes lanes) {
    vstrbq_scatter_offset_p_s32(to, offsets, x, lanes.predicate);
}
static inline int32_t mcu_add_across(int32_t sum, int32x4_t x, McuAllLanes) { return vaddvaq_s32(sum, x); }
static inline int32_t mcu_add_across(int32_t sum, int32x4_t x, McuLanes lanes) {
    return vaddvaq_p_s32(sum, x, lanes.predicate);
}
// sum + x, and the greater of m and x, lane by lane.
static inline float32x4_t mcu_add(float32x4_t sum, float32x4_t x, McuAllLanes) { return vaddq_f32(sum, x); }
static inline float32x4_t mcu_add(float32x4_t sum, float32x4_t x, McuLanes lanes) {
    return vaddq_m_f32(sum, sum, x, lanes.predicate);
}
// sum + a * b.
static inline float32x4_t mcu_fma(float32x4_t sum, float32x4_t a, float32x4_t b, McuAllLanes) {
    return vfmaq_f32(sum, a, b);
}
static inline float32x4_t mcu_fma(float32x4_t sum, float32x4_t a, float32x4_t b, McuLanes lanes) {
    return vfmaq_m_f32(sum, a, b, lanes.predicate);
}
static inline float32x4_t mcu_max(float32x4_t m, float32x4_t x, McuAllLanes) { return vmaxnmq_f32(m, x); }
static inline float32x4_t mcu_max(float32x4_t m, float32x4_t x, McuLanes lanes) {
    return vmaxnmq_m_f32(m, m, x, lanes.predicate);
}
static inline float mcu_max_across(float m, float32x4_t x, McuAllLanes) { return vmaxnmvq_f32(m, x); }
static inline float mcu_max_across(float m, float32x4_t x, McuLanes lanes) {
    return vmaxnmvq_p_f32(m, x, lanes.predicate);
}

// Runs step(i, lanes) for i = 0, 4, ... below n.
template <typename Step>
static inline void mcu_for_lanes(int32_t n, Step step) {
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) step(i, McuAllLanes{});
    if (i < n) step(i, McuLanes{vctp32q(uint32_t(n - i))});
}

// The next four of x, or those that are left; x moves on. Inline assembly, because GCC 12 copies a pointer for each
// turn of a loop with more than one of them.
static inline float32x4_t mcu_next(const float*& x, McuAllLanes) {
    float32x4_t v;
    asm("vldrw.u32 %q0, [%1], #16" : "=w"(v), "+r"(x) : "m"(*reinterpret_cast<const float(*)[4]>(x)));
    return v;
}
static inline float32x4_t mcu_next(const float*& x, McuLanes lanes) { return mcu_load(x, lanes); }
// Bytes: the address has to be in one of the lower registers.
static inline int32x4_t mcu_next(const int8_t*& x, McuAllLanes) {
    int32x4_t v;
    asm("vldrb.s32 %q0, [%1], #4" : "=w"(v), "+l"(x) : "m"(*reinterpret_cast<const int8_t(*)[4]>(x)));
    return v;
}
static inline int32x4_t mcu_next(const int8_t*& x, McuLanes lanes) { return vldrbq_z_s32(x, lanes.predicate); }
// Halfwords: the same.
static inline int32x4_t mcu_next(const int16_t*& x, McuAllLanes) {
    int32x4_t v;
    asm("vldrh.s32 %q0, [%1], #8" : "=w"(v), "+l"(x) : "m"(*reinterpret_cast<const int16_t(*)[4]>(x)));
    return v;
}
static inline int32x4_t mcu_next(const int16_t*& x, McuLanes lanes) { return vldrhq_z_s32(x, lanes.predicate); }

// Puts four where `to` points, or those that are left; it moves on.
static inline void mcu_put(float*& to, float32x4_t v, McuAllLanes) {
    asm("vstrw.32 %q2, [%0], #16" : "+r"(to), "=m"(*reinterpret_cast<float(*)[4]>(to)) : "w"(v));
}
static inline void mcu_put(float*& to, float32x4_t v, McuLanes lanes) { mcu_store(to, v, lanes); }
static inline void mcu_put(int8_t*& to, int32x4_t v, McuAllLanes) {
    asm("vstrb.32 %q2, [%0], #4" : "+l"(to), "=m"(*reinterpret_cast<int8_t(*)[4]>(to)) : "w"(v));
}
static inline void mcu_put(int8_t*& to, int32x4_t v, McuLanes lanes) { mcu_store(to, v, lanes); }

static inline void mcu_put(int16_t*& to, int32x4_t v, McuAllLanes) {
    asm("vstrh.32 %q2, [%0], #8" : "+l"(to), "=m"(*reinterpret_cast<int16_t(*)[4]>(to)) : "w"(v));
}
static inline void mcu_put(int16_t*& to, int32x4_t v, McuLanes lanes) { mcu_store(to, v, lanes); }

// Runs step(lanes) for every four of n, in order and four times to a turn of the loop: for steps that walk with
// mcu_next and mcu_put, and cost no more than a turn does.
template <typename Step>
static inline void mcu_walk_lanes(int32_t n, Step step) {
    for (int32_t turns = n >> 4; turns > 0; --turns) {
        step(McuAllLanes{});
        step(McuAllLanes{});
        step(McuAllLanes{});
        step(McuAllLanes{});
    }
    for (int32_t turns = (n >> 2) & 3; turns > 0; --turns) step(McuAllLanes{});
    if (n & 3) step(McuLanes{vctp32q(uint32_t(n & 3))});
}

#endif
