// mcu::requantize_s16: out[i] = x[i] requantized (kernels/quantize/requantize.h), plus zero_point, clamped to int8.
// 0 < multiplier, -31 <= shift <= 0, zero_point within int8. Specification: mcu_sdk/operators/reference/rows_s16.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_requantize_s16(const int16_t* x, int8_t* out, int32_t n, int32_t multiplier, int32_t shift,
                                   int32_t zero_point);
