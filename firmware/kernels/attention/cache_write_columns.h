// mcu::cache_write_columns_: as cache_write, into a cache whose positions lie side by side: x[heads][n] by
// inverse_scale[heads][n] into cache[heads][n][positions] at *position; a position outside the cache writes nothing.
// Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_cache_write_columns(int8_t* cache, const float* x, const float* inverse_scale,
                                        const int64_t* position, int32_t heads, int32_t positions, int32_t n);
