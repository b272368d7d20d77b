// out[i] = e^x[i], x clamped to [-86, 88]. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_exp_f32(const float* x, float* out, int32_t n);
