// mcu::attention_s8_shaped: mcu_attention_s8 with scores that are softly capped, cap * tanh(score / cap) (not, where
// cap is 0), and to which bias[heads][positions] is added, by distance: its last column for the position itself, the
// one before for the position before (nothing, where bias is null). sinks[heads] are scores that take a share of the
// softmax and have no values (none, where they are null). Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_attention_s8_shaped(const float* q, const int8_t* k_cache, const int8_t* v_cache,
                                        const float* k_scale, const float* v_scale, const int64_t* position,
                                        const float* bias, const float* sinks, float* out, uint8_t* scratch,
                                        int32_t heads, int32_t groups, int32_t positions, int32_t n, float scale,
                                        float cap);
