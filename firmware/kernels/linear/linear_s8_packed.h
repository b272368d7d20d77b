// Linears of int8 rows and packed int8 weights (kernels/linear/packed_s8.h).
#pragma once

#include <stdint.h>

// mcu::linear_s8.packed: int8 rows with a run-time scale each, times packed int8 weights (kernels/linear/packed_s8.h).
//
// x[rows][k], x_scale[rows], weight[n / 8 rounded up][k / 16 rounded up][8][16], weight_scale and bias (or nullptr) for
// n rounded up to eights -> out[rows][n], float32: (float(acc) * weight_scale[n]) * x_scale[row] + bias[n]. acc is
// exact for k < 2^16; k >= 1. out must not overlap an input. Specification: mcu_sdk/operators/reference/packed.py.
extern "C" void mcu_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight,
                                     const float* weight_scale, const float* bias, float* out, int32_t rows, int32_t k,
                                     int32_t n);

// mcu::linear_s8_static.packed: an int8 linear whose input's scale is known beforehand, with packed weights.
//
// x[rows][k], weight[n / 8 rounded up][k / 16 rounded up][8][16] (kernels/linear/packed_s8.h), offset, scale and bias
// (or nullptr) for n rounded up to eights -> out[rows][n], float32: float(acc + offset[n]) * scale[n] + bias[n]. acc is
// exact for k < 2^16, the sum with the offset wraps; k >= 1. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/packed.py.
extern "C" void mcu_linear_s8_static_packed(const int8_t* x, const int8_t* weight, const int32_t* offset,
                                            const float* scale, const float* bias, float* out, int32_t rows, int32_t k,
                                            int32_t n);

// mcu::linear_s8_requantize.packed: int8 all through, a multiplier and shift for each channel, with packed weights.
//
// x[rows][k], weight[n / 8 rounded up][k / 16 rounded up][8][16] (kernels/linear/packed_s8.h), constants[n / 8 rounded
// up][3][8] (biases with the input's zero point folded in, multipliers, shifts) -> out[rows][n], clamped to [low,
// high]; zero_point, low and high within [-128, 127], multipliers and shifts as kernels/quantize/requantize.h wants
// them, but no shift to the left; 1 <= k < 2^16. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/packed.py.
extern "C" void mcu_linear_s8_requantize_packed(const int8_t* x, const int8_t* weight, const int32_t* constants,
                                                int8_t* out, int32_t rows, int32_t k, int32_t n, int32_t zero_point,
                                                int32_t low, int32_t high);

// mcu::linear_s8_add_s16.packed: what a linear adds to a residual stream of int16, with packed weights.
//
// added[rows][n] at the results' scale, x[rows][k], weight[n / 8 rounded up][k / 16 rounded up][8][16]
// (kernels/linear/packed_s8.h), constants[n / 8 rounded up][3][8] as above -> out[rows][n]: added plus the requantized
// (sum + bias); the two are saturated to int16, and so is what they come to. No shift to the left; 1 <= k < 2^16. out
// may be added; it must not overlap another input. Specification: mcu_sdk/operators/reference/packed.py.
extern "C" void mcu_linear_s8_add_s16_packed(const int16_t* added, const int8_t* x, const int8_t* weight,
                                             const int32_t* constants, int16_t* out, int32_t rows, int32_t k,
                                             int32_t n);
