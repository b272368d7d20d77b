// out[i] = tanh(x[i]). out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_tanh_f32(const float* x, float* out, int32_t n);
