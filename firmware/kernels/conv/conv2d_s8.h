// cortex_m::quantized_conv2d and quantized_depthwise_conv2d: int8 images with channels last (kernels/conv/window.h).
//
// Output channel c reads group_inputs channels, from c / group_outputs * group_inputs on. Its weight for a tap and a
// channel is weight[c * weight_step + tap * tap_step + channel]. sum (x + offset) * weight, plus bias[c] (nullptr:
// zeros) is requantized by multiplier[c] and shift[c] (kernels/quantize/requantize.h), plus zero_point, clamped to
// [low, high]. offset within [-127, 128], fewer than 65,536 taps times channels, so that the sum cannot overflow.
#pragma once

#include <stdint.h>

#include "kernels/conv/window.h"

struct McuConvolution {
    int32_t group_inputs, group_outputs;  // channels that belong together
    int32_t weight_step, tap_step;        // from one output channel's weights to the next, and from one tap's
    int32_t offset;                       // added to x
    int32_t zero_point, low, high;        // of out
};

extern "C" void mcu_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                              const int32_t* shift, int8_t* out, const McuWindow* window,
                              const McuConvolution* convolution);
