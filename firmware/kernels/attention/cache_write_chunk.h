// Keys and values of a chunk of a prompt: the writes to the cache where there are several positions.
//
// x[tokens][heads][n], position[tokens]: token after token, each as the kernel without `_chunk` writes it, bit for bit.
// Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_cache_write_chunk(int8_t* cache, const float* x, const float* inverse_scale,
                                      const int64_t* position, int32_t tokens, int32_t heads, int32_t positions,
                                      int32_t n);

extern "C" void mcu_cache_write_columns_chunk(int8_t* cache, const float* x, const float* inverse_scale,
                                              const int64_t* position, int32_t tokens, int32_t heads, int32_t positions,
                                              int32_t n);

extern "C" void mcu_cache_write_dynamic_chunk(int8_t* cache, const float* x, const int64_t* position, int32_t tokens,
                                              int32_t heads, int32_t positions, int32_t n);

extern "C" void mcu_cache_write_columns_dynamic_chunk(int8_t* cache, const float* x, const int64_t* position,
                                                      int32_t tokens, int32_t heads, int32_t positions, int32_t n);

extern "C" void mcu_cache_scale_write_chunk(uint16_t* scales, const float* x, const int64_t* position, int32_t tokens,
                                            int32_t heads, int32_t positions, int32_t n);
