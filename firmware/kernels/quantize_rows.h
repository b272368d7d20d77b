// mcu::quantize_rows: each row of x[rows][n] to int8 with a scale of its own, found at run time.
// q[rows][n], scale[rows]. Specification: mcu_sdk/compiler/ops/linear.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_quantize_rows(const float* x, int8_t* q, float* scale, int32_t rows, int32_t n);
