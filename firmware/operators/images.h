// What the wrappers of images' operators check and work out: windows that slide over an image, and a frame's lines.
#pragma once

#include "kernels/conv/window.h"
#include "operators/arguments.h"

namespace mcu {

// (y, x) lists of a window's strides, paddings and dilations, of one or two numbers; paddings may be four.
struct Pairs {
    Integers stride, padding, dilation;
    bool rounds_up = false;  // a last window may reach beyond the padding, if it begins before
};

// Fills the window for [batch][height][width][channels] of x and out where it gives an output of out's size.
bool fits_window(McuWindow& window, const Pairs& pairs, const Operand& x, const Operand& out, int64_t rows,
                 int64_t columns);

// The same of a convolution that is transposed: `more` rows and columns are added to the output.
bool fits_transposed(McuWindow& window, const Pairs& pairs, const Integers& more, const Operand& x, const Operand& out,
                     int64_t rows, int64_t columns);

// multiplier * 2^(shift - 31), which is a float's scale.
float scale_of(int64_t multiplier, int64_t shift);

// What kernels/conv/depthwise_conv2d_s8.h takes, and its scratch in bytes.
bool is_small(const McuWindow& window);
int64_t depthwise_scratch(const McuWindow& window);

// Pairs of a beginning and a number, `count` of them, within `length`; of as many weights, whose sums an int32_t holds.
bool are_lines(const int32_t* spans, const int32_t* weights, int64_t count, int64_t length, int64_t parts);
bool are_in_order(const int32_t* spans, int64_t count);
int64_t longest_span(const int32_t* spans, int64_t count);

}  // namespace mcu
