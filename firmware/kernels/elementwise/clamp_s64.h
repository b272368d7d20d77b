// out[i] = x[i] clamped to [low, high], int64. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_clamp_s64(const int64_t* x, int64_t* out, int32_t n, int64_t low, int64_t high);
