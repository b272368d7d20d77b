// The parts of a depthwise convolution on Helium: kernels/conv/depthwise_pairs_s8_helium.S.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
// to[pixel][16][4]: of each of the first `channels` channels, 1 ... 16, a word with a byte from each of three lines
// below one another, `lines` times; what lies behind the channels, and the words' fourth bytes, are anything.
struct McuDepthwiseWords {
    const int8_t* from;     // the first of the pixels, on the first of three lines
    int32_t at, end, size;  // which line that is, where the last three are over, and how many the image has
    int32_t step;           // bytes from one pixel to the next
    int32_t line_step;      // and to the one below
    int32_t next, next_at;  // from three lines to the next: bytes, and lines
    int8_t* to;
    int32_t to_next;  // bytes from the last pixel's words to the next lines' first
    int32_t pixels, channels;
    uint8_t outside[16];  // what lies on the lines that the image has not
};

extern "C" void mcu_depthwise_words_s8(const McuDepthwiseWords* words);

// What a channel's outputs have in common.
struct McuDepthwiseChannel {
    int32_t zeros;
    int8_t weights[16];  // [pixel along the line][below one another]
    int32_t bias;        // with the offset of the inputs
    int32_t multiplier, shift;
};

struct McuDepthwiseFactors {
    const int8_t* weight;  // of the first channel, the others' behind it
    const int32_t *bias, *multiplier, *shift;
    McuDepthwiseChannel* to;
    int32_t channels, offset;
    int32_t bias_step;    // 4 bytes, or 0
    uint16_t taps[2][8];  // where the weights lie: of the bytes with even numbers, and of those with odd ones
    uint8_t mask[16];     // 0 where there is none
};

extern "C" void mcu_depthwise_channels_s8(const McuDepthwiseFactors* factors);

// Eight outputs: the words of the first channel under each pair of them, and where both go to, in bytes.
struct McuDepthwiseEight {
    const int8_t* words[4];
    uint16_t offsets[4][2];
};

// For each channel, at out[channel + offset]: the products of four pixels' words (the fourth's weights are zero) with
// the channel's weights; the sum plus bias, requantized (shifts within -31 ... -1), plus zero_point, saturated.
struct McuDepthwisePairs {
    const McuDepthwiseChannel *channels, *channels_end;
    int32_t count;  // of whole eights
    const McuDepthwiseEight* eights;
    int32_t half;  // 1: the first half of one follows
    int8_t* out;
    int32_t zero_point;
};

// A pair's windows are one pixel apart, or two.
extern "C" void mcu_depthwise_pairs_1_s8(const McuDepthwisePairs* pairs);
extern "C" void mcu_depthwise_pairs_2_s8(const McuDepthwisePairs* pairs);
#endif
