// mcu::quantize and cortex_m::quantize_per_tensor: out[i] = clamp(rint(x[i] * inverse) + zero_point, low, high), int8.
// zero_point, low and high within [-128, 127]; a NaN counts as 0.
// out must not overlap x. Specification: mcu_sdk/operators/reference/linear.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_quantize(const float* x, int8_t* out, int32_t n, float inverse, int32_t zero_point, int32_t low,
                             int32_t high);
