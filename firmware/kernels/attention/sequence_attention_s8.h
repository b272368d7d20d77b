// mcu::sequence_attention_s8: attention of every query over a whole sequence, in int8, for some sequences.
//
// q[sequences][queries][heads * n], k[sequences][positions][groups * n], v[sequences][positions][groups * m], zero
// points 0; out[sequences][queries][heads * m]; head h reads group h / (heads / groups). padding[positions] or nullptr,
// of one sequence: keys where it is 0 count for nothing, unless all are. bias or nullptr: added to the scores, tables
// of bias_table floats of which sequence s reads number tables[s], or the first where tables is nullptr; each
// [bias_heads][bias_rows][...] with `bias_stride` floats for each head: one row of positions for each query, or, where
// bias_rows is 1, one of queries + positions - 1 of which query i begins at queries - 1 - i.
//
// scratch, 16-aligned, with R and C for rounded up to 8 and to 16: R(positions) * C(n) + R(m) * C(positions) + 36 *
// max(R(positions), R(m)) + C(8 * n) + C(8 * positions) bytes. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/sequence_attention.py.
#pragma once

#include <stdint.h>

struct McuSequenceAttention {
    int32_t sequences, queries, positions, heads, groups, n, m;
    int32_t bias_tables, bias_heads, bias_rows, bias_stride, bias_table;
    float score_scale, out_scale;
    int32_t out_zero_point;
};

extern "C" void mcu_sequence_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const int64_t* padding,
                                          const float* bias, const int32_t* tables, int8_t* out, uint8_t* scratch,
                                          const McuSequenceAttention* attention);
