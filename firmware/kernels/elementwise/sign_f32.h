// out[i] = the sign of x[i], -1, 0 or 1. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_sign_f32(const float* x, float* out, int32_t n);
