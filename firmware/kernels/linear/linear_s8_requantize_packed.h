// mcu::linear_s8_requantize.packed: int8 all through, a multiplier and shift for each channel, with packed weights.
//
// x[rows][k], weight[n / 8 rounded up][k / 16 rounded up][8][16] (kernels/linear/packed_s8.h), constants[n / 8 rounded
// up][3][8] (biases with the input's zero point folded in, multipliers, shifts) -> out[rows][n], clamped to [low,
// high]; zero_point, low and high within [-128, 127], multipliers and shifts as kernels/quantize/requantize.h wants
// them, but no shift to the left; 1 <= k < 2^16. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/packed.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s8_requantize_packed(const int8_t* x, const int8_t* weight, const int32_t* constants,
                                                int8_t* out, int32_t rows, int32_t k, int32_t n, int32_t zero_point,
                                                int32_t low, int32_t high);
