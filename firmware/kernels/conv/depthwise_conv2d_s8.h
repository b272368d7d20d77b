// cortex_m::quantized_depthwise_conv2d with one output for each channel and a window of at most 3 x 3 without dilation:
// what mcu_conv2d_s8 computes, which is its specification.
//
// On Helium the window's rows become the bytes of words: the products of a window are one multiply-accumulate then.
#pragma once

#include <stdint.h>

#include "kernels/conv/conv2d_s8.h"

// Shifts within -31 ... -1, multipliers not below 0, strides 1 or 2; group_inputs and group_outputs are 1. scratch,
// 16-aligned: 64 bytes for 20 pixels and for those under the lines of outputs that are computed at a time, at most 84;
// lines lie along the longer side of the output. As many as there is room for, in pieces as equal as can be.
extern "C" void mcu_depthwise_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias,
                                        const int32_t* multiplier, const int32_t* shift, int8_t* out,
                                        const McuWindow* window, const McuConvolution* convolution, void* scratch);
