// mcu::layer_norm: each row of x[rows][n] centred, scaled to unit variance, times weight[n], plus bias[n].
// out may be x. Specification: mcu_sdk/operators/reference/norms.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_layer_norm(const float* x, const float* weight, const float* bias, float* out, int32_t rows,
                               int32_t n, float eps);
