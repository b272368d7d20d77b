// out[batch][m][n] = a[batch][m][k] times b, plus bias[n] where there is one, float32.
// b[batch][k][n], or [batch][n][k] where transposed (a linear). Products are added in four lanes over k
// (kernels/math/math.h), each step fused. b_batch_stride is 0 where all batches share b.
#pragma once

#include <stdint.h>

extern "C" void mcu_matmul_f32(const float* a, const float* b, const float* bias, float* out, int32_t batch, int32_t m,
                               int32_t k, int32_t n, int32_t b_batch_stride, bool transposed);
