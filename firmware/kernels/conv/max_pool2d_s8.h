// cortex_m::quantized_max_pool2d: the greatest of each window of int8 images with channels last
// (kernels/conv/window.h), clamped to [low, high] within int8.
#pragma once

#include <stdint.h>

#include "kernels/conv/window.h"

extern "C" void mcu_max_pool2d_s8(const int8_t* x, int8_t* out, const McuWindow* window, int32_t low, int32_t high);
