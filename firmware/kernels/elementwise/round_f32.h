// out[i] = x[i] rounded to the nearest integer, ties to even. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_round_f32(const float* x, float* out, int32_t n);
