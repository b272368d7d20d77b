// mcu::layer_norm_s16: rows of int16, or sums of two of them, or of float32, normalized to int16.
//
// t = x, or fma(y, y_ratio, x) where y is no nullptr; out = clamp(rint(fma((t - mean) * r, weight, bias))), r = 1 /
// sqrt(lane_sum((t - mean)^2) / n + eps). x, y, out[rows][n]; weight, bias[n]; row: scratch of n floats. out may be x
// or y. Specification: mcu_sdk/operators/reference/rows_s16.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_layer_norm_s16(const int16_t* x, const int16_t* y, const float* weight, const float* bias,
                                   int16_t* out, void* row, int32_t rows, int32_t n, float y_ratio, float eps);

// The same of x float32; out must not overlap it.
extern "C" void mcu_layer_norm_to_s16(const float* x, const float* weight, const float* bias, int16_t* out,
                                      int32_t rows, int32_t n, float eps);
