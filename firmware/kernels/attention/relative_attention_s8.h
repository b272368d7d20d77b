// mcu::relative_attention_s8: attention over a whole sequence in int8, whose scores have a part for each pair that is
// computed from the query or the key and their distance (DeBERTa's).
//
// q, k, v, out[length][heads * n], zero points 0 but for out. key_table, query_table[heads][2 * length - 1][n], or
// nullptr: row length - 1 - i + j of a head's is multiplied by query i and by key j. padding[length] or nullptr: keys
// where it is 0 count for nothing, and queries there look at all keys alike.
//
// scratch, 16-aligned, as mcu_sequence_attention_s8 has it. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/relative_attention.py.
#pragma once

#include <stdint.h>

struct McuRelativeAttention {
    int32_t length, heads, n;
    float score_scale, key_table_scale, query_table_scale, out_scale;
    int32_t out_zero_point;
};

extern "C" void mcu_relative_attention_s8(const int8_t* q, const int8_t* k, const int8_t* v, const int64_t* padding,
                                          const int8_t* key_table, const int8_t* query_table, int8_t* out,
                                          uint8_t* scratch, const McuRelativeAttention* attention);
