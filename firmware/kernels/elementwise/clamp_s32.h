// out[i] = x[i] clamped to [low, high], int32. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_clamp_s32(const int32_t* x, int32_t* out, int32_t n, int32_t low, int32_t high);
