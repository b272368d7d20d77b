// cortex_m::dequantize_per_tensor: out[i] = (x[i] - zero_point) * scale, float32. out must not overlap x.
#pragma once

#include <stdint.h>

extern "C" void mcu_dequantize(const int8_t* x, float* out, int32_t n, float scale, int32_t zero_point);
