// aten::native_layer_norm: each row of x[rows][n] centred and scaled to unit variance, times weight[n], plus bias[n]
// (either may be nullptr); mean[rows] and root[rows] = 1 / sqrt(variance + eps) too. The arithmetic is that of
// kernels/norm/layer_norm.h. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_native_layer_norm(const float* x, const float* weight, const float* bias, float* out, float* mean,
                                      float* root, int32_t rows, int32_t n, float eps);
