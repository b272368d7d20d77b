// mcu::log_mel: the log-mel spectrogram of int16 samples, float32[frames][bins], or [bins][frames].
//
// samples[length]; count[1] or nullptr: how many of them count, frames beyond are `offset`. window[width];
// roots[points] [2]: cosine and minus sine of each part of a turn, points = 2^a 5^b, even, not below width; filters:
// for each bin spans[b][1] weights, for the powers from spans[b][0] on. Frame f begins at sample f * hop, or, where
// `centered`, half a window earlier, mirrored at both ends (length > width / 2). scratch: 8 * points bytes, 4-aligned.
// Nothing overlaps. floor is above 1e-30: subnormal numbers, which Helium takes for 0, come to it.
// Specification: mcu_sdk/operators/reference/sound.py.
#pragma once

#include <stdint.h>

struct McuLogMel {
    int32_t length, width, points, bins, frames, hop;
    int32_t centered, from_mean, bins_first;  // 0 or 1
    float preemphasis, floor, gain, offset, reach;
};

extern "C" void mcu_log_mel(const int16_t* samples, const int64_t* count, const float* window, const float* roots,
                            const float* filters, const int32_t* spans, float* out, uint8_t* scratch,
                            const McuLogMel* front);
