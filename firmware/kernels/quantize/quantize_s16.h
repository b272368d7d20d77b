// quantized_decomposed::quantize_per_tensor to int16: out[i] = clamp(rint(x[i] * inverse) + zero_point, low, high).
// zero_point, low and high within int16; a NaN counts as 0. out must not overlap x.
#pragma once

#include <stdint.h>

extern "C" void mcu_quantize_s16(const float* x, int16_t* out, int32_t n, float inverse, int32_t zero_point,
                                 int32_t low, int32_t high);
