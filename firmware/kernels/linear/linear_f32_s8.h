// out[m][n] = x[m][k] times weight[n][k], each column times scale[n]: float32 rows, int8 weights.
// Products are added in four lanes over k (kernels/math/math.h), each step fused; the scale comes last.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_f32_s8(const float* x, const int8_t* weight, const float* scale, float* out, int32_t m,
                                  int32_t k, int32_t n);
