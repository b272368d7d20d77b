// mcu::linear_s4: int8 rows with a run-time scale each, times int4 weights in groups of 32 columns
// (kernels/linear/blocks_s4.h).
//
// x[rows][k], x_scale[rows], weight[n / 8 rounded up][k / 32 rounded up][144], bias[n] or nullptr -> out[rows][n],
// float32: total * x_scale[row] + bias[n]. total begins at 0 and adds float(16 * acc) * factor for one group of columns
// after the other, acc being the group's sum of products and factor its float. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/int4.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s4(const int8_t* x, const float* x_scale, const int8_t* weight, const float* bias,
                              float* out, int32_t rows, int32_t k, int32_t n);
