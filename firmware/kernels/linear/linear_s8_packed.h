// mcu::linear_s8.packed: int8 rows with a run-time scale each, times packed int8 weights (kernels/linear/packed_s8.h).
//
// x[rows][k], x_scale[rows], weight[n / 8 rounded up][k / 16 rounded up][8][16], weight_scale and bias (or nullptr) for
// n rounded up to eights -> out[rows][n], float32: (float(acc) * weight_scale[n]) * x_scale[row] + bias[n]. acc is
// exact for k < 2^16; k >= 1. out must not overlap an input. Specification: mcu_sdk/operators/reference/packed.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight,
                                     const float* weight_scale, const float* bias, float* out, int32_t rows, int32_t k,
                                     int32_t n);
