// A line of a depthwise convolution's outputs on Helium: kernels/conv/depthwise_line_s8_helium.S.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
// to[pixel][16][4]: of each of the first `channels` channels, 1 ... 16, a word with a byte from each of the three,
// zeros in the others; the words' fourth bytes are anything. At least one pixel.
struct McuDepthwiseWords {
    const int8_t* from[3];
    int32_t step[3];  // to the next pixel
    int8_t* to;
    int32_t pixels, channels;
};

extern "C" void mcu_depthwise_words_s8(const McuDepthwiseWords* words);

// For `channels` channels, 1 ... 16, `outputs` outputs each: the products of four pixels' words (the fourth's weights
// are zero), from the line's first pixel on, with the channel's weights; the sum plus bias, requantized (shifts within
// -31 ... -1), plus zero_point, within [low, high].
struct McuDepthwiseLine {
    const int8_t* words;    // [pixel][16][4]; eights of outputs are read, whatever they lie on
    const int8_t* weights;  // [channel][2][4][4]: of the words, and a word further on
    const int32_t *bias, *multiplier, *shift;
    int8_t* out;
    int32_t channels, outputs;
    int32_t step;                   // bytes from one output to the next; 7 * step < 2^16
    int32_t zero_point, low, high;  // high: neither negative nor below the zero point
    int32_t lines;                  // of mcu_depthwise_lines_* and _twos_*, at least one
    int32_t line_step;              // bytes from a line's outputs to the next one's
};

// Windows that are one pixel apart, or two.
extern "C" void mcu_depthwise_line_1_s8(const McuDepthwiseLine* line);
extern "C" void mcu_depthwise_line_2_s8(const McuDepthwiseLine* line);

// The same for `lines` lines of 1 ... 8 outputs, whose words begin 8 pixels apart, or 16.
extern "C" void mcu_depthwise_lines_1_s8(const McuDepthwiseLine* line);
extern "C" void mcu_depthwise_lines_2_s8(const McuDepthwiseLine* line);

// The same for lines of 1 ... 4 outputs, whose words begin 8 pixels apart; line_step + 3 * step < 2^16.
extern "C" void mcu_depthwise_twos_1_s8(const McuDepthwiseLine* line);
extern "C" void mcu_depthwise_twos_2_s8(const McuDepthwiseLine* line);
#endif
