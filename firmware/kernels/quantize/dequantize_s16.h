// quantized_decomposed::dequantize_per_tensor of int16: out[i] = (x[i] - zero_point) * scale, float32; zero_point
// within int16. out must not overlap x.
#pragma once

#include <stdint.h>

extern "C" void mcu_dequantize_s16(const int16_t* x, float* out, int32_t n, float scale, int32_t zero_point);
