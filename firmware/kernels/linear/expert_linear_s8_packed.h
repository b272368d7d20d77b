// The linears of kernels/linear/expert_linear_s8.h with packed weights.
#pragma once

#include <stdint.h>

#include "kernels/linear/experts.h"

// mcu::expert_linear_s8.packed: as mcu_expert_linear_s8, with weight[experts] packed as kernels/linear/packed_s8.h has
// it, weight_scale and bias padded to a multiple of 8 for each expert.
extern "C" void mcu_expert_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight,
                                            const float* weight_scale, const float* bias, const int64_t* expert,
                                            float* out, const McuExperts* experts);
