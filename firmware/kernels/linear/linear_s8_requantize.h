// mcu::linear_s8_requantize: int8 all through, a multiplier and shift for each output channel.
//
// x[rows][k], weight[n][k], bias[n] (the input's zero point folded in; nullptr: zeros), multiplier[n], shift[n] ->
// out[rows][n], clamped to [low, high]; zero_point, low and high within [-128, 127], multipliers and shifts as
// kernels/quantize/requantize.h wants them, k < 2^16. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/linear.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s8_requantize(const int8_t* x, const int8_t* weight, const int32_t* bias,
                                         const int32_t* multiplier, const int32_t* shift, int8_t* out, int32_t rows,
                                         int32_t k, int32_t n, int32_t zero_point, int32_t low, int32_t high);
