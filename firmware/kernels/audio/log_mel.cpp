#include "kernels/audio/log_mel.h"

#include "kernels/audio/real_fourier.h"
#include "kernels/math/variant.h"

// From 4 |X|^2 of int16 samples to |X|^2 of samples within [-1, 1).
#define POWER_UNIT 0x1p-32f

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/audio/log_mel_helium.h"
#else
#include "kernels/audio/log_mel_portable.h"
#endif

// The samples of a frame from `begin` on, as floats, mirrored at both ends of the signal.
static inline void read_frame(const int16_t* samples, const McuLogMel& a, int32_t begin, float* frame) {
    if (begin >= 0 && begin + a.width <= a.length) {
        to_floats(samples + begin, frame, a.width);
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
    if (a.from_mean) take_mean(frame, a.width);
    if (a.preemphasis > 0.0f) {
        weigh_emphasized(frame, window, a.width, a.preemphasis);
    } else {
        weigh(frame, window, a.width);
    }
    for (int32_t i = a.width; i < a.points; ++i) frame[i] = 0.0f;
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
        for (int32_t b = 0; b < a.bins; b += 4) {
            const int32_t some = a.bins - b < 4 ? a.bins - b : 4;
            float mels[4] = {1.0f, 1.0f, 1.0f, 1.0f};
            for (int32_t j = 0; j < some; ++j) {
                const int32_t n = spans[2 * (b + j) + 1];
                const float mel = lane_dot(power + spans[2 * (b + j)], weights, n, POWER_UNIT);
                mels[j] = mel > a.floor ? mel : a.floor;
                weights += n;
            }
            logarithms(mels, some, a.gain, a.offset);
            for (int32_t j = 0; j < some; ++j) row[(b + j) * across] = mels[j];
        }
    }
    if (a.reach > 0.0f) raise_to_reach(out, a.frames * a.bins, a.reach);
}
