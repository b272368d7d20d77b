// cortex_m::quantized_avg_pool2d: the mean of each window of int8 images with channels last (kernels/window.h), of the
// taps on the image: rint(sum (x - zero_point) / count) + zero_point, clamped to int8.
// Fewer than 65,536 taps: the sum is exact in float32.
#pragma once

#include <stdint.h>

extern "C" void mcu_avg_pool2d_s8(const int8_t* x, int8_t* out, const int32_t* window, int32_t zero_point);
