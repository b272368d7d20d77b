// out[i] = x[i] rounded down. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_floor_f32(const float* x, float* out, int32_t n);
