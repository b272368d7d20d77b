// Each row of x[rows][n], n >= 1, less its maximum, less the logarithm of the sum of their exponentials.
// out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_log_softmax_f32(const float* x, float* out, int32_t rows, int32_t n);
