// mcu::linear_s8_static: an int8 linear whose input's scale is known beforehand.
//
// x[rows][k], weight[n][k], offset[n] (the input's zero point, folded), scale[n], bias[n] or nullptr ->
// out[rows][n], float32: float(acc + offset[n]) * scale[n] + bias[n]. acc is exact for k < 2^16; the
// sum with the offset wraps. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/linear.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s8_static(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                     const float* bias, float* out, int32_t rows, int32_t k, int32_t n);
