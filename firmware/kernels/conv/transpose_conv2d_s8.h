// cortex_m::quantized_transpose_conv2d: int8 images with channels last (kernels/conv/window.h).
//
// The input pixel (y, x) reaches the output pixels (y stride_y - pad_y + row dilation_y, and likewise in x). The sum of
// (x + offset) * weight[c][row][column][channel] over all that reach a pixel, plus bias[c] (nullptr: zeros), is
// requantized by multiplier[c] and shift[c] (kernels/quantize/requantize.h), plus zero_point, clamped to [low, high].
//
// The window's sizes, strides, paddings and dilations are those of the convolution that this one transposes.
// offset within [-127, 128], fewer than 65,536 taps times channels, so that the sum cannot overflow; output sizes,
// paddings and dilations times the window's sizes below 2^30. The operator's definition adds in float32: it is the same
// where the sums stay within 2^24. out must not overlap an input.
#pragma once

#include <stdint.h>

#include "kernels/conv/window.h"

struct McuTransposeConvolution {
    int32_t offset;                 // added to x
    int32_t zero_point, low, high;  // of out
};

extern "C" void mcu_transpose_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias,
                                        const int32_t* multiplier, const int32_t* shift, int8_t* out,
                                        const McuWindow* window, const McuTransposeConvolution* convolution);
