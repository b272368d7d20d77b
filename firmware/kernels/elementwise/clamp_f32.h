// out[i] = x[i] clamped to [low, high]; a NaN stays. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_clamp_f32(const float* x, float* out, int32_t n, float low, float high);
