#include "kernels/audio/log_mel.h"

#include "kernels/audio/real_fourier.h"
#include "kernels/math/math_extra.h"

// From 4 |X|^2 of int16 samples to |X|^2 of samples within [-1, 1).
#define POWER_UNIT 0x1p-32f

// The samples of a frame from `begin` on, as floats, mirrored at both ends of the signal.
static inline void read_frame(const int16_t* samples, const McuLogMel& a, int32_t begin, float* frame) {
    if (begin >= 0 && begin + a.width <= a.length) {
        for (int32_t i = 0; i < a.width; ++i) frame[i] = float(samples[begin + i]);
        return;
    }
    for (int32_t i = 0; i < a.width; ++i) {
        int32_t place = begin + i;
        place = place < 0 ? -place : place;
        place = place < a.length ? place : 2 * (a.length - 1) - place;
        frame[i] = float(samples[place]);
    }
}

// Mean, preemphasis, window; zeros up to the transform's points. The sum of a frame's integers is exact, as long as it
// stays below 2^24 (the reference adds in integers, too, and so does this).
static inline void prepare_frame(const float* window, const McuLogMel& a, float* frame) {
    if (a.from_mean) {
        int32_t sum = 0;
        for (int32_t i = 0; i < a.width; ++i) sum += int32_t(frame[i]);
        const float mean = float(sum) / float(a.width);
        for (int32_t i = 0; i < a.width; ++i) frame[i] -= mean;
    }
    const bool emphasizes = a.preemphasis > 0.0f;
    float before = frame[0];
    for (int32_t i = 0; i < a.width; ++i) {
        const float x = frame[i];
        frame[i] = (emphasizes ? x - a.preemphasis * before : x) * window[i];
        before = x;
    }
    for (int32_t i = a.width; i < a.points; ++i) frame[i] = 0.0f;
}

// The products of powers and weights in four lanes (mcu_lane_sum).
static inline float lane_dot(const float* power, const float* weights, int32_t n) {
    float lanes[4] = {};
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int32_t j = 0; j < 4; ++j) lanes[j] += (power[i + j] * POWER_UNIT) * weights[i + j];
    }
    for (int32_t j = 0; i + j < n; ++j) lanes[j] += (power[i + j] * POWER_UNIT) * weights[i + j];
    return mcu_lane_total(lanes);
}

static inline void raise_to_reach(float* out, int32_t n, float reach) {
    float greatest = out[0];
    for (int32_t i = 1; i < n; ++i) greatest = out[i] > greatest ? out[i] : greatest;
    const float lowest = greatest - reach;
    for (int32_t i = 0; i < n; ++i) out[i] = out[i] > lowest ? out[i] : lowest;
}

void mcu_log_mel(const int16_t* samples, const int64_t* count, const float* window, const float* roots,
                 const float* filters, const int32_t* spans, float* out, uint8_t* scratch, const McuLogMel* front) {
    const McuLogMel a = *front;
    const int32_t across = a.bins_first ? a.frames : 1;
    const int32_t along = a.bins_first ? 1 : a.bins;
    auto* const buffer = reinterpret_cast<float*>(scratch);
    for (int32_t f = 0; f < a.frames; ++f) {
        const int32_t begin = f * a.hop - (a.centered ? a.width / 2 : 0);
        float* const row = out + f * along;
        if (count && begin + a.width > *count) {
            for (int32_t b = 0; b < a.bins; ++b) row[b * across] = a.offset;
            continue;
        }
        read_frame(samples, a, begin, buffer);
        prepare_frame(window, a, buffer);
        const float* const power = powers(buffer, reinterpret_cast<const Complex*>(roots), a.points);
        const float* weights = filters;
        for (int32_t b = 0; b < a.bins; ++b) {
            const int32_t n = spans[2 * b + 1];
            const float mel = lane_dot(power + spans[2 * b], weights, n);
            row[b * across] = mcu_logf(mel > a.floor ? mel : a.floor) * a.gain + a.offset;
            weights += n;
        }
    }
    if (a.reach > 0.0f) raise_to_reach(out, a.frames * a.bins, a.reach);
}
