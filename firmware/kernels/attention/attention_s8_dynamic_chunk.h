// Attention of a chunk of a prompt: mcu::attention_s8_dynamic and mcu::attention_s8_dynamic_shaped where there are
// several positions.
//
// q[tokens][heads][n], position[tokens] -> out[tokens][heads][n]: each token as mcu_attention_s8_dynamic and
// mcu_attention_s8_dynamic_shaped have it, bit for bit, over a cache that all the chunk's keys and values are in: a
// token reads none of those behind it. Scratch as there: the tokens take turns. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_attention_s8_dynamic_chunk(const float* q, const int8_t* k_cache, const int8_t* v_cache,
                                               const uint16_t* k_scales, const uint16_t* v_scales,
                                               const int64_t* position, float* out, uint8_t* scratch, int32_t tokens,
                                               int32_t heads, int32_t groups, int32_t positions, int32_t n,
                                               float scale);

extern "C" void mcu_attention_s8_dynamic_shaped_chunk(const float* q, const int8_t* k_cache, const int8_t* v_cache,
                                                      const uint16_t* k_scales, const uint16_t* v_scales,
                                                      const int64_t* position, const float* bias, const float* sinks,
                                                      float* out, uint8_t* scratch, int32_t tokens, int32_t bias_step,
                                                      int32_t heads, int32_t groups, int32_t positions, int32_t n,
                                                      float scale, float cap);
