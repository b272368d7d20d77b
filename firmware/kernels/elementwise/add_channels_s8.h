// mcu::add_channels_s8: out = sum + fma(float(x), scale, offset), rows of int8 whose channels have scales of their own:
// sum, x, out[rows][n], scale, offset[n]. out may be sum, and must not overlap the others.
// Specification: mcu_sdk/operators/reference/rows_s8.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_add_channels_s8(const float* sum, const int8_t* x, const float* scale, const float* offset,
                                    float* out, int32_t rows, int32_t n);
