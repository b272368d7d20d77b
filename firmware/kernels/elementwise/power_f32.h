// out[i] = x[i]^exponent, a positive integer, by squaring: the lowest bit of the exponent first. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_power_f32(const float* x, float* out, int32_t n, int32_t exponent);
