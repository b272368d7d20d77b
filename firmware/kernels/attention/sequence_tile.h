// What attention over a whole sequence works in, a tile of queries at a time: mcu_sequence_attention_s8,
// mcu_gated_attention_s8 and mcu_relative_attention_s8.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/sequence_attention_s8_helium.h"
#else
#include "kernels/attention/sequence_attention_s8_portable.h"
#endif

// Queries whose scores are kept at a time.
#define TILE 8

// What padding adds to a score (mcu_sdk/operators/reference/sequence_attention.py).
#define INVISIBLE (-1e30f)

static inline int32_t round_up(int32_t value, int32_t unit) { return (value + unit - 1) / unit * unit; }

// The parts of the scratch; each begins at a multiple of 16 bytes.
struct Parts {
    int8_t* keys;      // one group's, as the variant lays them out
    int8_t* values;    // the same, turned
    float* rows;       // [TILE][positions] scores, then [TILE][m] results
    float* penalties;  // 0, or INVISIBLE, for each key
    int8_t* queries;   // [TILE][n]
    int8_t* p;         // [TILE][positions] probabilities

    Parts(uint8_t* scratch, int32_t positions, int32_t n, int32_t m) {
        const int32_t across = round_up(positions, 8);
        const int32_t channels = round_up(m, 8);
        const int32_t longest = across > channels ? across : channels;
        keys = reinterpret_cast<int8_t*>(scratch);
        values = keys + across * round_up(n, 16);
        rows = reinterpret_cast<float*>(values + channels * round_up(positions, 16));
        penalties = rows + TILE * longest;
        queries = reinterpret_cast<int8_t*>(penalties + longest);
        p = queries + round_up(TILE * n, 16);
    }
};

// The penalties of padding; returns how many keys have to be looked at: none behind the last that counts, all where
// none does.
static inline int32_t read_padding(const int64_t* padding, int32_t positions, float* penalties) {
    int32_t visible = 0;
    for (int32_t t = 0; t < positions; ++t) {
        penalties[t] = padding[t] == 0 ? INVISIBLE : 0.0f;
        if (padding[t] != 0) visible = t + 1;
    }
    return visible == 0 ? positions : visible;
}

// What is added to the scores of a query of a head: a row of positions for each, or, where bias_rows is 1, its part of
// one row by distance.
template <typename Attention>
static inline const float* bias_of(const float* bias, const Attention& a, int32_t head, int32_t query) {
    const float* rows = bias + (a.bias_heads == 1 ? 0 : head) * a.bias_stride;
    return a.bias_rows == 1 ? rows + (a.queries - 1 - query) : rows + query * a.positions;
}
