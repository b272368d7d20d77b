// out[i] = x[i] rounded towards zero. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_trunc_f32(const float* x, float* out, int32_t n);
