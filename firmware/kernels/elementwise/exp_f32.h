// out[i] = e^x[i]: 0 below -86, infinite where float32 ends. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_exp_f32(const float* x, float* out, int32_t n);
