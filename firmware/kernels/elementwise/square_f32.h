// out[i] = x[i]^2. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_square_f32(const float* x, float* out, int32_t n);
