// mcu::cache_write_columns_dynamic_: as cache_write_dynamic, into a cache whose positions lie side by side:
// x[heads][n] into cache[heads][n][positions] at *position; a position outside the cache writes nothing.
// Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_cache_write_columns_dynamic(int8_t* cache, const float* x, const int64_t* position, int32_t heads,
                                                int32_t positions, int32_t n);
