// Linears of int8 rows and int8 weights.
#pragma once

#include <stdint.h>

// mcu::linear_s8: int8 rows with a run-time scale each, times int8 weights with a scale for each output channel.
//
// x[rows][k], x_scale[rows], weight[n][k], weight_scale[n], bias[n] or nullptr -> out[rows][n], float32:
// (float(acc) * weight_scale[n]) * x_scale[row] + bias[n]. acc is exact for k < 2^16. out
// must not overlap an input.
// Specification: mcu_sdk/operators/reference/linear.py.
extern "C" void mcu_linear_s8(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                              const float* bias, float* out, int32_t rows, int32_t k, int32_t n);

// mcu::linear_s8_static: an int8 linear whose input's scale is known beforehand.
//
// x[rows][k], weight[n][k], offset[n] (the input's zero point, folded), scale[n], bias[n] or nullptr ->
// out[rows][n], float32: float(acc + offset[n]) * scale[n] + bias[n]. acc is exact for k < 2^16; the
// sum with the offset wraps. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/linear.py.
extern "C" void mcu_linear_s8_static(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                     const float* bias, float* out, int32_t rows, int32_t k, int32_t n);

// mcu::linear_s8_requantize: int8 all through, a multiplier and shift for each output channel.
//
// x[rows][k], weight[n][k], bias[n] (the input's zero point folded in; nullptr: zeros), multiplier[n], shift[n] ->
// out[rows][n], clamped to [low, high]; zero_point, low and high within [-128, 127], multipliers and shifts as
// kernels/quantize/requantize.h wants them, k < 2^16. out must not overlap an input. Specification:
// mcu_sdk/operators/reference/linear.py.
extern "C" void mcu_linear_s8_requantize(const int8_t* x, const int8_t* weight, const int32_t* bias,
                                         const int32_t* multiplier, const int32_t* shift, int8_t* out, int32_t rows,
                                         int32_t k, int32_t n, int32_t zero_point, int32_t low, int32_t high);

// mcu::linear_s8_add_s16: what a linear adds to a residual stream of int16.
//
// added[rows][n] at the results' scale, x[rows][k], weight[n][k], bias[n] (the input's zero point folded in),
// multiplier[n], shift[n] -> out[rows][n]: added plus the requantized (sum + bias); the two are saturated to int16, and
// so is what they come to. Multipliers and shifts as kernels/quantize/requantize.h wants them, k < 2^16. out may be
// added; it must not overlap another input. Specification: mcu_sdk/operators/reference/linear.py.
extern "C" void mcu_linear_s8_add_s16(const int16_t* added, const int8_t* x, const int8_t* weight, const int32_t* bias,
                                      const int32_t* multiplier, const int32_t* shift, int16_t* out, int32_t rows,
                                      int32_t k, int32_t n);

struct McuRequantization {
    int32_t multiplier, shift;
    int32_t zero_point, low, high;
};

// cortex_m::quantized_linear: int8 all through, one multiplier and shift for all channels.
//
// x[rows][k], weight[n][k], bias[n] (the input's zero point folded in, as kernel_sum has it; nullptr: zeros) ->
// out[rows][n], requantized (kernels/quantize/requantize.h), plus zero_point, clamped to [low, high] within int8.
// k <= 131,071, so that the products cannot overflow; adding the bias wraps.
extern "C" void mcu_linear_s8_per_tensor(const int8_t* x, const int8_t* weight, const int32_t* bias, int8_t* out,
                                         int32_t rows, int32_t k, int32_t n, const McuRequantization* requantization);
