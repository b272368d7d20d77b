// The parts of kernels/audio/log_mel.cpp in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math_extra.h"

static inline void to_floats(const int16_t* samples, float* frame, int32_t n) {
    for (int32_t i = 0; i < n; ++i) frame[i] = float(samples[i]);
}

static inline void take_mean(float* frame, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; ++i) sum += int32_t(frame[i]);
    const float mean = float(sum) / float(n);
    for (int32_t i = 0; i < n; ++i) frame[i] -= mean;
}

static inline void weigh(float* frame, const float* window, int32_t n) {
    for (int32_t i = 0; i < n; ++i) frame[i] *= window[i];
}

static inline void weigh_emphasized(float* frame, const float* window, int32_t n, float preemphasis) {
    float before = frame[0];
    for (int32_t i = 0; i < n; ++i) {
        const float x = frame[i];
        frame[i] = (x - preemphasis * before) * window[i];
        before = x;
    }
}

// The products of powers, times `unit`, and weights in four lanes (mcu_lane_sum).
static inline float lane_dot(const float* power, const float* weights, int32_t n, float unit) {
    float lanes[4] = {};
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int32_t j = 0; j < 4; ++j) lanes[j] += (power[i + j] * unit) * weights[i + j];
    }
    for (int32_t j = 0; i + j < n; ++j) lanes[j] += (power[i + j] * unit) * weights[i + j];
    return mcu_lane_total(lanes);
}

static inline void logarithms(float* mels, int32_t n, float gain, float offset) {
#pragma GCC unroll 1  // at most four turns
    for (int32_t i = 0; i < n; ++i) mels[i] = mcu_logf(mels[i]) * gain + offset;
}
