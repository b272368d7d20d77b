// kernels/conv/depthwise_conv2d_s8.h on Helium.
//
// A line of outputs along one side of the image, for 16 channels: vst4 makes of each pixel under it (and of those
// before and behind it across the line) one word a channel, [pixel][16 channels][4]. Four of these words along the line
// are the window of one output, and of the next one with the weights a word further on
// (kernels/conv/depthwise_line_s8.h). Short lines lie one behind the other, as many as there is room for: a channel
// then goes over all of them.
#pragma once

#include <arm_mve.h>

#include "kernels/conv/depthwise_conv2d_s8.h"
#include "kernels/conv/depthwise_line_s8.h"
#include "kernels/conv/depthwise_pairs_s8.h"
#include "kernels/math/math.h"

namespace {

constexpr int32_t kLanes = 16, kPixelBytes = 4 * kLanes, kWeightPixels = 5;
constexpr int32_t kLinesPixels = 64;  // of lines that lie one behind the other, at most

// One side of the image: along the line of outputs, or across it.
struct Side {
    int32_t size, outputs, taps, stride, pad;
    int32_t in_step, out_step, weight_step;  // in bytes, to the next pixel or tap
};

struct Depthwise {
    Side along, across;
    int32_t outside;  // the value of what is not on the image
};

// Words of what is not on the image.
inline int8_t* lay_out_outside(int8x16_t outside, int32_t pixels, int8_t* to) {
    for (const int8_t* const end = to + (pixels > 0 ? pixels : 0) * kPixelBytes; to != end; to += kLanes) {
        vstrbq_s8(to, outside);
    }
    return to;
}

// Words of the pixels under the outputs of some lines, `pitch` pixels from one to the next; of x the first `channels`
// channels.
[[gnu::noinline]] void lay_out_lines(const Depthwise& d, const int8_t* x, int32_t line, int32_t lines, int32_t channels,
                                     int8_t* to, int32_t pitch) {
    const Side along = d.along, across = d.across;
    const int8x16_t outside = vdupq_n_s8(int8_t(d.outside));
    alignas(16) int8_t beyond[kLanes];
    vstrbq_s8(beyond, outside);
    const int32_t end = (along.outputs - 1) * along.stride - along.pad + along.taps;
    const int32_t before = end < 0 ? along.pad + end : along.pad;
    const int32_t pixels = end < along.size ? end : along.size;
    McuDepthwiseWords words = {{}, {}, to, pixels, channels};
    for (int32_t at = line * across.stride - across.pad; lines > 0; --lines, at += across.stride) {
        const int8_t* from = x + at * across.in_step;
        for (int32_t tap = 0; tap < 3; ++tap, from += across.in_step) {
            const bool inside = tap < across.taps && uint32_t(at + tap) < uint32_t(across.size);
            words.from[tap] = inside ? from : beyond;
            words.step[tap] = inside ? along.in_step : 0;
        }
        words.to = lay_out_outside(outside, before, to);
        if (pixels > 0) {
            mcu_depthwise_words_s8(&words);
            words.to += pixels * kPixelBytes;
        }
        lay_out_outside(outside, end - along.size, words.to);
        to += pitch * kPixelBytes;
    }
}

// The weights of 16 channels in the same way, behind a word of zeros and before others.
[[gnu::noinline]] void lay_out_weights(const Depthwise& d, const int8_t* weight, mve_pred16_t channels, int8_t* to) {
    const int8x16_t zeros = vdupq_n_s8(0);
#pragma GCC unroll 1
    for (int32_t i = 0; i < kWeightPixels; ++i, to += kPixelBytes) {
        int8x16x4_t words;
        words.val[3] = zeros;
        for (int32_t tap = 0; tap < 3; ++tap) {
            const bool some = i >= 1 && i - 1 < d.along.taps && tap < d.across.taps;
            const int8_t* at = weight + (i - 1) * d.along.weight_step + tap * d.across.weight_step;
            words.val[tap] = some ? vldrbq_z_s8(at, channels) : zeros;
        }
        vst4q_s8(to, words);
    }
}

// [channel][2][16]: each channel's weights of the words from a pixel on, and of those from the pixel before it on; and
// its bias with the offset of the inputs.
[[gnu::noinline]] void lay_out_channels(const Depthwise& d, const int8_t* words, const int32_t* bias, int32_t count,
                                        int8_t* to, int32_t* folded) {
    const uint32x4_t pixels = vmulq_n_u32(vidupq_n_u32(0, 1), kPixelBytes);
    for (int32_t c = 0; c < count; ++c, words += 4, to += 2 * kLanes) {
        const uint32x4_t from = vaddq_n_u32(pixels, uint32_t(reinterpret_cast<uintptr_t>(words)));
        const int8x16_t weights = vreinterpretq_s8_s32(vldrwq_gather_base_s32(from, kPixelBytes));
        vstrbq_s8(to, weights);
        vstrbq_s8(to + kLanes, vreinterpretq_s8_s32(vldrwq_gather_base_s32(from, 0)));
        folded[c] = mcu_add_wrapping(bias != nullptr ? bias[c] : 0, -d.outside * vaddvq_s8(weights));
    }
}

using Function = void (*)(const McuDepthwiseLine*);

// What computes the lines of an image, and how they lie: `together` at a time, `pitch` pixels from one to the next.
struct Plan {
    Function function;
    int32_t together, pitch;
};

Plan plan_of(const Depthwise& d) {
    const Side &along = d.along, &across = d.across;
    const bool dense = along.stride == 1;
    const int32_t pixels = (along.outputs - 1) * along.stride + along.taps;
    int32_t pitch = 8;
    Function function = nullptr;
    if (across.outputs % 2 == 0 && across.out_step + 11 * along.out_step <= 0xFFFF) {
        if (along.outputs == 6 && dense) return {mcu_depthwise_sixes_s8, across.outputs < 8 ? across.outputs : 8, 8};
        if (along.outputs == 12 && dense) return {mcu_depthwise_twelves_1_s8, 2, 14};
        if (along.outputs == 12) return {mcu_depthwise_twelves_2_s8, 2, 26};
    }
    if (along.outputs <= 4 && pixels <= 8 && across.out_step + 3 * along.out_step <= 0xFFFF) {
        function = dense ? mcu_depthwise_twos_1_s8 : mcu_depthwise_twos_2_s8;
    } else if (along.outputs <= 8 && pixels <= 8 * along.stride) {
        function = dense ? mcu_depthwise_lines_1_s8 : mcu_depthwise_lines_2_s8;
        pitch = 8 * along.stride;
    }
    if (function == nullptr) return {dense ? mcu_depthwise_line_1_s8 : mcu_depthwise_line_2_s8, 1, 0};
    const int32_t most = kLinesPixels / pitch;
    return {function, across.outputs < most ? across.outputs : most, pitch};
}

// No result above `high`, which the lines do not limit to.
[[gnu::noinline]] void limit(int8_t* out, int32_t count, int32_t high) {
    const int8x16_t most = vdupq_n_s8(int8_t(high));
    for (; count > 0; count -= kLanes, out += kLanes) {
        const mve_pred16_t some = vctp8q(uint32_t(count));
        vstrbq_p_s8(out, vminq_s8(vldrbq_z_s8(out, some), most), some);
    }
}

}  // namespace

void mcu_depthwise_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                             const int32_t* shift, int8_t* out, const McuWindow* window,
                             const McuConvolution* convolution, void* scratch) {
    const McuWindow w = *window;
    const McuConvolution p = *convolution;
    const int32_t n = w.channels;
    const Side down = {w.height, w.out_height, w.rows,          w.stride_y,
                       w.pad_y,  w.width * n,  w.out_width * n, w.columns * n};
    const Side right = {w.width, w.out_width, w.columns, w.stride_x, w.pad_x, n, n, n};
    const bool lies = w.out_width >= w.out_height || 7 * down.out_step > 0xFFFF;
    const Depthwise d = {lies ? right : down, lies ? down : right, -p.offset};
    const Plan plan = plan_of(d);
    const int32_t least = p.zero_point > 0 ? p.zero_point : 0, high = p.high > least ? p.high : least;
    int8_t* const weights = static_cast<int8_t*>(scratch);
    int8_t* const weight_words = weights + kLanes * 2 * kLanes;
    int8_t* const words = weight_words + kWeightPixels * kPixelBytes;
    int32_t folded[kLanes];
    for (int32_t first = 0; first < n; first += kLanes) {
        const mve_pred16_t channels = vctp8q(uint32_t(n - first));
        const int32_t count = n - first < kLanes ? n - first : kLanes;
        lay_out_weights(d, weight + first, channels, weight_words);
        lay_out_channels(d, weight_words, bias != nullptr ? bias + first : nullptr, count, weights, folded);
        McuDepthwiseLine outputs = {
            words, weights,          folded,           multiplier + first, shift + first, nullptr,
            count, d.along.outputs,  d.along.out_step, p.zero_point,       p.low,         high,
            0,     d.across.out_step};
        for (int32_t image = 0; image < w.batch; ++image) {
            const int8_t* const from = x + image * w.height * w.width * n + first;
            int8_t* const to = out + image * w.out_height * w.out_width * n + first;
            for (int32_t line = 0; line < d.across.outputs; line += plan.together) {
                const int32_t left = d.across.outputs - line, lines = left < plan.together ? left : plan.together;
                lay_out_lines(d, from, line, lines, count, words, plan.pitch);
                outputs.out = to + line * d.across.out_step;
                outputs.lines = lines;
                plan.function(&outputs);
            }
        }
    }
    if (high != p.high) limit(out, w.batch * w.out_height * w.out_width * n, p.high);
}
