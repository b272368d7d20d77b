// out[i] = x[i]^3. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_cube_f32(const float* x, float* out, int32_t n);
