// out[i] = x[i] as float32, to nearest, ties to even. x has the type `kind` (kernels/elementwise/convert.h).
#pragma once

#include <stdint.h>

extern "C" void mcu_convert_f32(const void* x, float* out, int32_t n, int32_t kind);
