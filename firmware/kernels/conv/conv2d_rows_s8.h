// cortex_m::quantized_conv2d without groups, two output pixels at a time: each one's window becomes a row, and the rows
// are multiplied with all filters (kernels/linear/two_rows_s8.h). The specification is mcu_conv2d_s8.
#pragma once

#include <stdint.h>

#include "kernels/conv/conv2d_s8.h"

// bias[out_channels] has the offset folded in: bias + offset * the sum of the channel's weights. weight[out_channels]
// [rows][columns][channels], fewer than 65,536 for each output; shifts at most 0. Of the convolution's fields offset
// and the numbers of the output are read. scratch, 16-aligned: for each 16 of a filter's weights, rounded up, 64
// bytes for each of mcu_two_rows_pairs (kernels/linear/two_rows_s8.h), and 32; and 32 more.
extern "C" void mcu_conv2d_rows_s8(const int8_t* x, const int8_t* weight, const int32_t* bias,
                                   const int32_t* multiplier, const int32_t* shift, int8_t* out,
                                   const McuWindow* window, const McuConvolution* convolution, void* scratch);
