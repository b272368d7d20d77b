// The parts of mcu_sequence_attention_s8 in plain C++, and with DSP instructions.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention_s8_portable.h"
#include "kernels/linear/linear_s8.h"
#include "kernels/math/math.h"

// keys[count][n] and values[n][count] of one group, from rows that are `stride` apart.
static inline void lay_out(const int8_t* k, const int8_t* v, int32_t stride, int32_t count, int32_t n, int8_t* keys,
                           int8_t* values) {
    for (int32_t t = 0; t < count; ++t, k += stride, v += stride) {
        for (int32_t i = 0; i < n; ++i) {
            keys[t * n + i] = k[i];
            values[i * count + t] = v[i];
        }
    }
}

// out[i][c] = (float(sum over j of x[i][j] * weight[c][j]) * ones[c]) * factors[i], x[rows][k], weight[n][k].
static inline void multiply(const int8_t* x, const float* factors, const int8_t* weight, const float* ones, float* out,
                            int32_t rows, int32_t k, int32_t n) {
    mcu_linear_s8(x, factors, weight, ones, nullptr, out, rows, k, n);
}

static inline void add_to_scores(const float* added, float* scores, int32_t count) {
    for (int32_t t = 0; t < count; ++t) scores[t] += added[t];
}

static inline void round_to_s8(const float* x, int8_t* out, int32_t n, int32_t zero_point) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = int8_t(mcu_round_clamped(x[i], -128 - zero_point, 127 - zero_point) + zero_point);
    }
}
