// out[i] = x[i] clamped to [low, high]; a NaN stays. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_clamp_f32(const float* x, float* out, int32_t n, float low, float high);
extern "C" void mcu_clamp_s8(const int8_t* x, int8_t* out, int32_t n, int8_t low, int8_t high);
extern "C" void mcu_clamp_s32(const int32_t* x, int32_t* out, int32_t n, int32_t low, int32_t high);
extern "C" void mcu_clamp_s64(const int64_t* x, int64_t* out, int32_t n, int64_t low, int64_t high);
