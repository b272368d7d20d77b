// out[i] = x[i] clamped to [low, high], int8. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_clamp_s8(const int8_t* x, int8_t* out, int32_t n, int8_t low, int8_t high);
