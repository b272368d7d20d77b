// kernels/conv/depthwise_conv2d_s8.h on Helium.
//
// Some lines of outputs along one side of the image, for 16 channels: vst4 makes of each pixel under them (and of those
// before and behind it across the line) one word a channel, [line][pixel][16 channels][4]. Four of these words along
// the line are the window of one output, and of the next one with the weights a word further on
// (kernels/conv/depthwise_pairs_s8.h). A channel goes over all outputs of the lines, pair by pair; where the pairs lie
// is the same for all channels and stands in a table.
#pragma once

#include <arm_mve.h>

#include "kernels/conv/depthwise_conv2d_s8.h"
#include "kernels/conv/depthwise_pairs_s8.h"
#include "kernels/math/math.h"

namespace {

constexpr int32_t kLanes = 16, kPixelBytes = 4 * kLanes;
constexpr int32_t kPixels = 84;               // of lines, at most: 3 of 25 outputs, or 6 of 12
constexpr int32_t kEights = kPixels / 8 + 1;  // a pair has two pixels of its own
constexpr int32_t kReach = 0xFFFF;            // the furthest output from the first, in bytes

// What the kernel keeps in scratch; the words of a pixel more than there are may be read.
struct Scratch {
    McuDepthwiseChannel channels[kLanes];
    McuDepthwiseEight eights[2][kEights];
};

// One side of the image: along the line of outputs, or across it.
struct Side {
    int32_t size, outputs, taps, stride, pad;
    int32_t in_step, out_step, weight_step;  // in bytes, to the next pixel or tap
};

inline int32_t divide_up(int32_t a, int32_t b) { return (a + b - 1) / b; }

// Pixels under a line of outputs.
inline int32_t pixels_under(const Side& along, int32_t outputs) { return (outputs - 1) * along.stride + 3; }

// A piece of an image: outputs along some lines.
struct Piece {
    int32_t outputs, lines;
    const McuDepthwiseEight* eights;
    int32_t count, half;
};

// The most outputs along a line, and then the most lines, that are taken at a time; no piece is much smaller.
Piece largest_piece(const Side& along, const Side& across) {
    Piece piece = {along.outputs, 1, nullptr, 0, 0};
    int32_t most = (kPixels - 3) / along.stride + 1;
    const int32_t reach = kReach / along.out_step + 1;
    if (most > reach) most = reach;
    if (along.outputs > most) {
        piece.outputs = most & ~1;
        return piece;
    }
    most = kPixels / pixels_under(along, along.outputs);
    const int32_t lines = (kReach - (along.outputs - 1) * along.out_step) / across.out_step + 1;
    if (most > lines) most = lines;
    piece.lines = divide_up(across.outputs, divide_up(across.outputs, most));
    return piece;
}

// The pairs of a piece's outputs to `eights`. An odd line's last pair has an output that the one before it has, too,
// and what is left of the last eight has its last pair once more: they come out the same.
[[gnu::noinline]] void lay_out_pairs(const Side& along, const Side& across, const int8_t* words, Piece* piece,
                                     McuDepthwiseEight* eights) {
    const int32_t last = piece->outputs > 2 ? piece->outputs - 2 : 0;
    int32_t pair = 0, offset = 0;
    const auto put = [&](const int8_t* from, int32_t to) {
        McuDepthwiseEight* const eight = eights + pair / 4;
        eight->words[pair % 4] = from;
        eight->offsets[pair % 4][0] = uint16_t(to);
        eight->offsets[pair % 4][1] = uint16_t(to + along.out_step);
        ++pair;
    };
    const int8_t* from = words;
    for (int32_t line = 0; line < piece->lines; ++line, offset += across.out_step) {
        for (int32_t at = 0;; at = at + 2 < last ? at + 2 : last) {
            put(from + at * along.stride * kPixelBytes, offset + at * along.out_step);
            if (at == last) break;
        }
        from += pixels_under(along, piece->outputs) * kPixelBytes;
    }
    piece->eights = eights;
    piece->half = pair % 4 == 1 || pair % 4 == 2;
    piece->count = pair / 4 + (pair % 4 == 3);
    from -= pixels_under(along, piece->outputs) * kPixelBytes, offset -= across.out_step;
    while (pair % 4 != 0) put(from + last * along.stride * kPixelBytes, offset + last * along.out_step);
}

// The pixels under a piece's lines: on the image, and before and behind it.
struct Pixels {
    int32_t first, before, inside, behind;
};

inline Pixels pixels_of(const Side& along, int32_t output, int32_t outputs) {
    const int32_t begin = output * along.stride - along.pad, count = pixels_under(along, outputs);
    const int32_t before = begin >= 0 ? 0 : -begin < count ? -begin : count;
    const int32_t left = along.size - (begin + before);
    const int32_t inside = left < 0 ? 0 : left < count - before ? left : count - before;
    return {begin + before, before, inside, count - before - inside};
}

// Words of what is not on the image, before and behind the pixels of some lines.
[[gnu::noinline]] void lay_out_outside(const Pixels& pixels, int32_t lines, int32_t outside, int8_t* to) {
    const int8x16_t value = vdupq_n_s8(int8_t(outside));
    for (; lines > 0; --lines) {
        for (const int8_t* const end = to + pixels.before * kPixelBytes; to != end; to += kLanes) vstrbq_s8(to, value);
        to += pixels.inside * kPixelBytes;
        for (const int8_t* const end = to + pixels.behind * kPixelBytes; to != end; to += kLanes) vstrbq_s8(to, value);
    }
}

// Where the weights of a channel lie.
void find_taps(const Side& along, const Side& across, McuDepthwiseFactors* factors) {
    for (int32_t i = 0; i < kLanes; ++i) {
        const bool some = i / 4 < along.taps && i % 4 < across.taps && i % 4 < 3;
        factors->mask[i] = some ? 0xFF : 0;
        factors->taps[i % 2][i / 2] = some ? uint16_t(i / 4 * along.weight_step + i % 4 * across.weight_step) : 0;
    }
}

// No result beyond limits: the pairs saturate alone.
[[gnu::noinline]] void limit(int8_t* out, int32_t count, int32_t low, int32_t high) {
    const int8x16_t least = vdupq_n_s8(int8_t(low)), most = vdupq_n_s8(int8_t(high));
    for (; count > 0; count -= kLanes, out += kLanes) {
        const mve_pred16_t some = vctp8q(uint32_t(count));
        vstrbq_p_s8(out, vminq_s8(vmaxq_s8(vldrbq_z_s8(out, some), least), most), some);
    }
}

// A convolution, and what is the same for all of its pieces.
struct Depthwise {
    Side along, across;
    Piece whole, rest;        // the rest's outputs or lines are those of `whole` where nothing is left
    int32_t output, outputs;  // along the lines: what words and pairs are set up for
    int32_t first;            // the first pixel on the image under them
    McuDepthwiseWords words;
    McuDepthwisePairs pairs;
    int8_t* begin;  // of the words
    int32_t outside;
};

// Sets up for outputs along the lines.
[[gnu::noinline]] void place(Depthwise& d, int32_t output, int32_t outputs) {
    const Pixels pixels = pixels_of(d.along, output, outputs);
    lay_out_outside(pixels, d.whole.lines, d.outside, d.begin);
    d.output = output, d.outputs = outputs, d.first = pixels.first;
    d.words.to = d.begin + pixels.before * kPixelBytes;
    d.words.to_next = (pixels.before + pixels.behind) * kPixelBytes;
    d.words.pixels = pixels.inside;
}

// The outputs of `piece` from an output and a line on; x and out: of the channels' image.
inline void compute(Depthwise& d, const Piece& piece, int32_t output, int32_t line, const int8_t* x, int8_t* out) {
    if (output != d.output || piece.outputs != d.outputs) place(d, output, piece.outputs);
    d.words.at = line * d.across.stride - d.across.pad;
    d.words.end = d.words.at + piece.lines * d.across.stride;
    d.words.from = x + d.words.at * d.across.in_step + d.first * d.along.in_step;
    mcu_depthwise_words_s8(&d.words);
    d.pairs.count = piece.count;
    d.pairs.eights = piece.eights;
    d.pairs.half = piece.half;
    d.pairs.out = out + line * d.across.out_step + output * d.along.out_step;
    d.along.stride == 1 ? mcu_depthwise_pairs_1_s8(&d.pairs) : mcu_depthwise_pairs_2_s8(&d.pairs);
}

// All outputs of some channels of an image.
void compute_image(Depthwise& d, const int8_t* x, int8_t* out) {
    const Piece &whole = d.whole, &rest = d.rest;
    for (int32_t line = 0; line < d.across.outputs; line += whole.lines) {
        const bool last_lines = d.across.outputs - line < whole.lines;
        for (int32_t output = 0; output < d.along.outputs; output += whole.outputs) {
            const int32_t left = d.along.outputs - output;
            const bool last = left < whole.outputs;
            const int32_t from = last && left < rest.outputs ? d.along.outputs - rest.outputs : output;
            compute(d, last || last_lines ? rest : whole, from, line, x, out);
        }
    }
}

// The pieces, and where their pairs lie.
void lay_out_pieces(Depthwise& d, Scratch* scratch) {
    d.whole = d.rest = largest_piece(d.along, d.across);
    const int32_t outputs = d.along.outputs % d.whole.outputs, lines = d.across.outputs % d.whole.lines;
    // A single output would have none to be paired with: the one before it is computed again.
    if (outputs != 0) d.rest.outputs = outputs > 1 ? outputs : 2;
    if (lines != 0) d.rest.lines = lines;
    lay_out_pairs(d.along, d.across, d.begin, &d.whole, scratch->eights[0]);
    if (outputs + lines != 0) lay_out_pairs(d.along, d.across, d.begin, &d.rest, scratch->eights[1]);
}

}  // namespace

void mcu_depthwise_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                             const int32_t* shift, int8_t* out, const McuWindow* window,
                             const McuConvolution* convolution, void* scratch) {
    const McuWindow w = *window;
    const McuConvolution p = *convolution;
    const int32_t n = w.channels, zero = 0;
    const Side down = {w.height, w.out_height, w.rows,          w.stride_y,
                       w.pad_y,  w.width * n,  w.out_width * n, w.columns * n};
    const Side right = {w.width, w.out_width, w.columns, w.stride_x, w.pad_x, n, n, n};
    const bool lies = w.out_width >= w.out_height || 15 * down.out_step > kReach;
    Depthwise d = {};
    d.along = lies ? right : down, d.across = lies ? down : right;
    d.outside = -p.offset;
    // A single output is computed with one beside it, into this.
    int8_t both[2 * kLanes];
    const bool single = d.along.outputs == 1;
    if (single) d.along.stride = 1, d.along.out_step = kLanes;
    auto* const parts = static_cast<Scratch*>(scratch);
    d.begin = reinterpret_cast<int8_t*>(parts + 1);
    lay_out_pieces(d, parts);
    d.outputs = 0;
    d.words.size = d.across.size, d.words.step = d.along.in_step, d.words.line_step = d.across.in_step;
    d.words.next = d.across.stride * d.across.in_step, d.words.next_at = d.across.stride;
    vstrbq_s8(reinterpret_cast<int8_t*>(d.words.outside), vdupq_n_s8(int8_t(d.outside)));
    d.pairs.channels = parts->channels;
    d.pairs.zero_point = p.zero_point;
    McuDepthwiseFactors factors;
    find_taps(d.along, d.across, &factors);
    factors.to = parts->channels, factors.offset = p.offset;
    factors.bias_step = bias != nullptr ? int32_t(sizeof *bias) : 0;
    for (int32_t first = 0; first < n; first += kLanes) {
        const int32_t count = n - first < kLanes ? n - first : kLanes;
        factors.weight = weight + first, factors.channels = count;
        factors.bias = bias != nullptr ? bias + first : &zero;
        factors.multiplier = multiplier + first, factors.shift = shift + first;
        mcu_depthwise_channels_s8(&factors);
        d.words.channels = count;
        d.pairs.channels_end = parts->channels + count;
        for (int32_t image = 0; image < w.batch; ++image) {
            const int8_t* const from = x + image * w.height * w.width * n + first;
            int8_t* const to = out + image * w.out_height * w.out_width * n + first;
            compute_image(d, from, single ? both : to);
            for (int32_t c = 0; single && c < count; ++c) to[c] = both[c];
        }
    }
    if (p.low > INT8_MIN || p.high < INT8_MAX) limit(out, w.batch * w.out_height * w.out_width * n, p.low, p.high);
}
