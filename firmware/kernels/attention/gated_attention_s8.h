// mcu::gated_attention_s8: attention of every query over a whole sequence in int8, to whose scores a bias is added that
// each query of each head multiplies by a number of its own (WavLM's).
//
// q[queries][heads * n], k[positions][heads * n], v[positions][heads * m], zero points 0; out[queries][heads * m].
// gates[heads][queries]. bias[bias_heads][bias_rows][...], bias_heads 1 or heads, with `bias_stride` floats for each:
// one row of positions for each query, or, where bias_rows is 1, one of queries + positions - 1 of which query i begins
// at queries - 1 - i. No row of queries times positions is kept.
//
// scratch, 16-aligned, as mcu_sequence_attention_s8 has it. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/gated_attention.py.
#pragma once

#include <stdint.h>

struct McuGatedAttention {
    int32_t queries, positions, heads, n, m;
    int32_t bias_heads, bias_rows, bias_stride;
    float score_scale, out_scale;
    int32_t out_zero_point;
};

extern "C" void mcu_gated_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const float* gates,
                                       const float* bias, int8_t* out, uint8_t* scratch,
                                       const McuGatedAttention* attention);
