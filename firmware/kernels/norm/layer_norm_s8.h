// mcu::layer_norm_s8: rows of int8, or sums of two of them, or of int16 or float32, normalized to int8.
//
// t = x, or fma(y, y_ratio, x) where y is no nullptr; out = clamp(rint(fma((t - mean) * r, weight, bias))), r = 1 /
// sqrt(lane_sum((t - mean)^2) / n + eps). x, y, out[rows][n]; weight, bias[n]; row: scratch of n floats. out may be x
// or y. Specification: mcu_sdk/operators/reference/rows_s8.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_layer_norm_s8(const int8_t* x, const int8_t* y, const float* weight, const float* bias, int8_t* out,
                                  void* row, int32_t rows, int32_t n, float y_ratio, float eps);

// The same of x int16; out must not overlap it.
extern "C" void mcu_layer_norm_s16_to_s8(const int16_t* x, const float* weight, const float* bias, int8_t* out,
                                         void* row, int32_t rows, int32_t n, float eps);

// The same of x float32; out must not overlap it.
extern "C" void mcu_layer_norm_to_s8(const float* x, const float* weight, const float* bias, int8_t* out, int32_t rows,
                                     int32_t n, float eps);
