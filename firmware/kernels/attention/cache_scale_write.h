// mcu::cache_scale_write_: the float16 scales (raw bits) of one step's rows x[heads][n] into scales[heads][positions]
// at *position; a position outside writes nothing. Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_cache_scale_write(uint16_t* scales, const float* x, const int64_t* position, int32_t heads,
                                      int32_t positions, int32_t n);
