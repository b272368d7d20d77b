// cortex_m::quantized_avg_pool2d: the mean of each window of int8 images with channels last (kernels/conv/window.h), of
// the taps on the image: rint(sum ((x - zero_point) scale) / count / scale) + zero_point, clamped to int8. In float32,
// one tap after the other, as the operator's Python definition does: the scale's rounding decides ties. scale positive
// and normal, fewer than 65,536 taps.
#pragma once

#include <stdint.h>

#include "kernels/conv/window.h"

extern "C" void mcu_avg_pool2d_s8(const int8_t* x, int8_t* out, const McuWindow* window, int32_t zero_point,
                                  float scale);
