// mcu::key_bias_scores: what a constant part of every key gives to attention's scores, kept out of the int8 cache.
// table[groups][channels][positions] is that part at each position, of the channels columns[channels] alone. For each
// head: out[positions - visible + t] = scale * (sum over c, in order, of q[columns[c]] * table[c][t]) for the visible
// positions t, 0 before; by distance, as mcu_attention_s8_shaped adds it. Specification:
// mcu_sdk/operators/reference/key_bias.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_key_bias_scores(const float* q, const float* table, const int32_t* columns, const int64_t* position,
                                    float* out, int32_t heads, int32_t groups, int32_t channels, int32_t positions,
                                    int32_t n, float scale);
