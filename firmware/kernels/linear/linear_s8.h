// mcu::linear_s8: int8 rows with a run-time scale each, times int8 weights with a scale for each output channel.
//
// x[rows][k], x_scale[rows], weight[n][k], weight_scale[n], bias[n] or nullptr -> out[rows][n], float32:
// (float(acc) * weight_scale[n]) * x_scale[row] + bias[n]. acc is exact for k < 2^16. out
// must not overlap an input.
// Specification: mcu_sdk/operators/reference/linear.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s8(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                              const float* bias, float* out, int32_t rows, int32_t k, int32_t n);
