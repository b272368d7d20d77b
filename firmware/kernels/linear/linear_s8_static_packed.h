// mcu::linear_s8_static.packed: an int8 linear whose input's scale is known beforehand, with packed weights.
//
// x[rows][k], weight[n / 8 rounded up][k / 16 rounded up][8][16] (kernels/linear/packed_s8.h), offset, scale and bias
// (or nullptr) for n rounded up to eights -> out[rows][n], float32: float(acc + offset[n]) * scale[n] + bias[n]. acc is
// exact for k < 2^16, the sum with the offset wraps; k >= 1. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/packed.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s8_static_packed(const int8_t* x, const int8_t* weight, const int32_t* offset,
                                            const float* scale, const float* bias, float* out, int32_t rows, int32_t k,
                                            int32_t n);
