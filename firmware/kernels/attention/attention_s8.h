// mcu::attention_s8: one step of attention over an int8 cache with calibrated scales for each head and channel.
//
// q[heads][n] float32; k_cache[groups][positions][n], v_cache[groups][n][positions] int8; k_scale, v_scale[groups][n];
// only positions 0 .. *position (clamped to the cache) are read; head h reads group h / (heads / groups).
// out[heads][n]; scratch: 4 bytes and 1 byte for each position and 1 byte for each channel, each part rounded up to 16;
// 16-aligned. out must not be q. Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_attention_s8(const float* q, const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                                 const float* v_scale, const int64_t* position, float* out, uint8_t* scratch,
                                 int32_t heads, int32_t groups, int32_t positions, int32_t n, float scale);
