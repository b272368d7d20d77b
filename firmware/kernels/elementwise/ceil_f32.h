// out[i] = x[i] rounded up. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_ceil_f32(const float* x, float* out, int32_t n);
