// mcu::add_s16: out[i] = fma(float(y[i]), scale, x[i]), a stream of floats and what a delegate adds to it. out may be
// x, and must not overlap y. Specification: mcu_sdk/operators/reference/rows_s16.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_add_s16(const float* x, const int16_t* y, float* out, int32_t n, float scale);
