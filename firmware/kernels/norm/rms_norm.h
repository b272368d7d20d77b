// mcu::rms_norm: each row of x[rows][n] times r * weight[n], r = 1 / sqrt(mean of squares + eps).
// out may be x. Specification: mcu_sdk/operators/reference/norms.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_rms_norm(const float* x, const float* weight, float* out, int32_t rows, int32_t n, float eps);
