// Linears of a mixture of experts: each row with the weights of the expert that a router has chosen for it.
#pragma once

#include <stdint.h>

#include "kernels/linear/experts.h"

// mcu::expert_linear_s8: x[rows or 1][k] with x_scale, weight[experts][n][k], weight_scale[experts][n], bias the same
// or nullptr, expert[rows] -> out[rows][n], float32: mcu_linear_s8 of each row with the weights of expert[row]. An
// expert that there is not gives a row of zeros. k < 2^16. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/experts.py.
extern "C" void mcu_expert_linear_s8(const int8_t* x, const float* x_scale, const int8_t* weight,
                                     const float* weight_scale, const float* bias, const int64_t* expert, float* out,
                                     const McuExperts* experts);
