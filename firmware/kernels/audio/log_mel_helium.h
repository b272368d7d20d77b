// The parts of kernels/audio/log_mel.cpp on Helium: the same operations on each element, the same lanes, the same bits.
#pragma once

#include <stdint.h>

#include "kernels/math/math_extra.h"
#include "kernels/math/math_helium.h"

static inline void to_floats(const int16_t* samples, float* frame, int32_t n) {
    for (; n >= 4; n -= 4, samples += 4, frame += 4) vstrwq_f32(frame, vcvtq_f32_s32(vldrhq_s32(samples)));
    if (n > 0) {
        const mve_pred16_t some = vctp32q(uint32_t(n));
        vstrwq_p_f32(frame, vcvtq_f32_s32(vldrhq_z_s32(samples, some)), some);
    }
}

static inline void take_mean(float* frame, int32_t n) {
    int32_t sum = 0;
    mcu_for_lanes(
        n, [&](int32_t i, auto lanes) { sum = mcu_add_across(sum, vcvtq_s32_f32(mcu_load(frame + i, lanes)), lanes); });
    const float mean = float(sum) / float(n);
    mcu_for_lanes(
        n, [=](int32_t i, auto lanes) { mcu_store(frame + i, vsubq_n_f32(mcu_load(frame + i, lanes), mean), lanes); });
}

static inline void weigh(float* frame, const float* window, int32_t n) {
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        mcu_store(frame + i, vmulq_f32(mcu_load(frame + i, lanes), mcu_load(window + i, lanes)), lanes);
    });
}

// From the end on, so that what lies before is still what it was.
static inline void weigh_emphasized(float* frame, const float* window, int32_t n, float preemphasis) {
    int32_t i = n;
    for (; i > 4; i -= 4) {
        float* const at = frame + i - 4;
        const float32x4_t before = vmulq_n_f32(vldrwq_f32(at - 1), preemphasis);
        vstrwq_f32(at, vmulq_f32(vsubq_f32(vldrwq_f32(at), before), vldrwq_f32(window + i - 4)));
    }
    for (--i; i > 0; --i) frame[i] = (frame[i] - preemphasis * frame[i - 1]) * window[i];
    frame[0] = (frame[0] - preemphasis * frame[0]) * window[0];
}

static inline float lane_dot(const float* power, const float* weights, int32_t n, float unit) {
    float32x4_t sum = vdupq_n_f32(0.0f);
    mcu_for_lanes(n, [&](int32_t i, auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_load(power + i, lanes), unit);
        sum = mcu_add(sum, vmulq_f32(scaled, mcu_load(weights + i, lanes)), lanes);
    });
    return mcu_total_of_lanes(sum);
}

// mcu_logf of four normal numbers.
static inline float32x4_t log_lanes(float32x4_t x) {
    const int32x4_t bits = vsubq_n_s32(vreinterpretq_s32_f32(x), 0x3F3504F3);
    const float32x4_t e = vcvtq_f32_s32(vshrq_n_s32(bits, 23));
    const int32x4_t fraction = vandq_s32(bits, vdupq_n_s32(0x7FFFFF));
    const float32x4_t m = vreinterpretq_f32_s32(vaddq_n_s32(fraction, 0x3F3504F3));
    const float32x4_t s = mcu_divide(vsubq_n_f32(m, 1.0f), vaddq_n_f32(m, 1.0f));
    const float32x4_t z = vmulq_f32(s, s);
    float32x4_t y = vfmaq_n_f32(vdupq_n_f32(0.2857142857f), z, 0.2222222222f);
    y = vfmasq_n_f32(y, z, 0.4f);
    y = vfmasq_n_f32(y, z, 0.6666666667f);
    y = vfmaq_f32(vmulq_n_f32(s, 2.0f), vmulq_f32(y, z), s);
    y = vfmaq_n_f32(y, e, -2.12194440e-4f);
    return vfmaq_n_f32(y, e, 0.693359375f);
}

// mels[4], of which n are wanted.
static inline void logarithms(float* mels, int32_t n, float gain, float offset) {
    const float32x4_t x = vldrwq_f32(mels);
    const uint32_t few = vcmpltq_n_f32(x, 1.17549435e-38f), many = vcmpgtq_n_f32(x, 3.40282347e38f);
    if ((few | many) != 0) {
        for (int32_t i = 0; i < n; ++i) mels[i] = mcu_logf(mels[i]) * gain + offset;
        return;
    }
    vstrwq_f32(mels, vaddq_n_f32(vmulq_n_f32(log_lanes(x), gain), offset));
}
