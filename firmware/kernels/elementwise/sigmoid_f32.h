// out[i] = 1 / (1 + e^-x[i]). out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_sigmoid_f32(const float* x, float* out, int32_t n);
