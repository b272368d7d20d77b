// mcu::sequence_attention_s8: attention of every query over a whole sequence, in int8.
//
// q, out[queries][heads * n]; k, v[positions][groups * n], zero points 0; head h reads group h / (heads / groups).
// padding[positions] or nullptr: keys where it is 0 count for nothing, unless all are. bias or nullptr: added to the
// scores, [bias_heads][bias_rows][...] with `bias_stride` floats for each head: one row of positions for each query,
// or, where bias_rows is 1, one of queries + positions - 1 of which query i begins at queries - 1 - i.
//
// scratch, 16-aligned, with R and C for rounded up to 8 and to 16: R(positions) * C(n) + R(n) * C(positions) + 36 *
// max(R(positions), R(n)) + C(8 * n) + C(8 * positions) bytes. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/sequence_attention.py.
#pragma once

#include <stdint.h>

struct McuSequenceAttention {
    int32_t queries, positions, heads, groups, n;
    int32_t bias_heads, bias_rows, bias_stride;
    float score_scale, out_scale;
    int32_t out_zero_point;
};

extern "C" void mcu_sequence_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const int64_t* padding,
                                          const float* bias, int8_t* out, uint8_t* scratch,
                                          const McuSequenceAttention* attention);
