// mcu::cache_write_dynamic_: as mcu_cache_write, each head's row x[heads][n] by its own float16 scale of this step (the
// one that mcu_cache_scale_write stores). cache[heads][positions][n], apart from the rest.
// Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_cache_write_dynamic(int8_t* cache, const float* x, const int64_t* position, int32_t heads,
                                        int32_t positions, int32_t n);
