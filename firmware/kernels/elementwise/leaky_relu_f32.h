// out[i] = x[i] where positive, else slope * x[i]. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_leaky_relu_f32(const float* x, float* out, int32_t n, float slope);
