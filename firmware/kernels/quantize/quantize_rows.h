// mcu::quantize_rows: each row of x[rows][n] to int8 with a scale of its own, found at run time.
// q[rows][n], scale[rows]; neither may overlap x or each other: m = max |row|, scale = m / 127,
// q = clamp(rint(x * (127 / m)), -127, 127). Specification: mcu_sdk/operators/reference/linear.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_quantize_rows(const float* x, int8_t* q, float* scale, int32_t rows, int32_t n);
