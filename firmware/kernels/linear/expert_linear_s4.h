// The linears of kernels/linear/expert_linear_s8.h with int4 weights.
#pragma once

#include <stdint.h>

#include "kernels/linear/experts.h"

// mcu::expert_linear_s4: x[rows or 1][k] with x_scale, weight[experts] in blocks as kernels/linear/blocks_s4.h has
// them, bias[experts][n] or nullptr, expert[rows] -> out[rows][n], float32: mcu_linear_s4 of each row with the weights
// of expert[row]. An expert that there is not gives a row of zeros. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/experts.py.
extern "C" void mcu_expert_linear_s4(const int8_t* x, const float* x_scale, const int8_t* weight, const float* bias,
                                     const int64_t* expert, float* out, const McuExperts* experts);
