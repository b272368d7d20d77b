// The parts of mcu_sequence_attention_s8 in plain C++, and with DSP instructions.
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/attention/attention.h"
#include "kernels/linear/dot_s8.h"
#include "kernels/math/math.h"

// keys[count][n] of one group, from rows that are `stride` apart.
static inline void lay_out_keys(const int8_t* k, int32_t stride, int32_t count, int32_t n, int8_t* keys) {
    for (int32_t t = 0; t < count; ++t, k += stride, keys += n) memcpy(keys, k, size_t(n));
}

// values[m][count], likewise.
static inline void lay_out_values(const int8_t* v, int32_t stride, int32_t count, int32_t m, int8_t* values) {
    for (int32_t t = 0; t < count; ++t, v += stride) {
        for (int32_t i = 0; i < m; ++i) values[i * count + t] = v[i];
    }
}

// Places of a row of scores, or of results.
static inline int32_t lanes_of(int32_t count) { return count; }

// Rows that are multiplied for `rows` that are wanted.
static inline int32_t whole_tile(int32_t rows) { return rows; }

static inline void copy_query(const int8_t* from, int8_t* to, int32_t n) { memcpy(to, from, size_t(n)); }

// out[i][c] = float(sum over j of x[i][j] * weight[c][j]) * scale, x[rows][k], weight[n][k].
static inline void multiply(const int8_t* x, const int8_t* weight, float scale, float* out, int32_t rows, int32_t k,
                            int32_t n) {
    for (int32_t i = 0; i < rows; ++i, x += k) {
        for (int32_t c = 0; c < n;) {
            int32_t sums[4];
            const int32_t count = mcu_dots_s8(x, weight + c * k, k, n - c, sums);
            for (int32_t j = 0; j < count; ++j) *out++ = float(sums[j]) * scale;
            c += count;
        }
    }
}

static inline void add_to_scores(const float* added, float* scores, int32_t count) {
    for (int32_t t = 0; t < count; ++t) scores[t] += added[t];
}

static inline void add_times(const float* added, float factor, float* scores, int32_t count) {
    for (int32_t t = 0; t < count; ++t) scores[t] += added[t] * factor;
}

// The probabilities of scores[count] as integers; returns their sum.
static inline int32_t exponentiate(const float* scores, int8_t* p, int32_t count) {
    int32_t sum = 0;
    float highest = -__builtin_inff();
    for (int32_t t = 0; t < count; ++t) highest = scores[t] > highest ? scores[t] : highest;
    for (int32_t t = 0; t < count; ++t) {
        const float share = mcu_exp_share(scores[t] - highest);
        p[t] = int8_t(mcu_round_clamped(share, 0, int32_t(MCU_PROBABILITY_ONE)));
        sum += p[t];
    }
    return sum;
}

// out[i] = x[i] * factor, rounded, plus zero_point, saturated.
static inline void round_to_s8(const float* x, float factor, int8_t* out, int32_t n, int32_t zero_point) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = int8_t(mcu_round_clamped(x[i] * factor, -128 - zero_point, 127 - zero_point) + zero_point);
    }
}
