// mcu::cache_write_: quantize one step's keys or values x[heads][n] by inverse_scale[heads][n] and put them into
// cache[heads][positions][n] at *position; a position outside the cache writes nothing.
// q = clamp(rint(x * inverse_scale), -127, 127). The cache must not overlap the rest.
// Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_cache_write(int8_t* cache, const float* x, const float* inverse_scale, const int64_t* position,
                                int32_t heads, int32_t positions, int32_t n);
