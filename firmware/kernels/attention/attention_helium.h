// kernels/attention/attention.h on Helium: scores come in fours, and so do probabilities, with zeros behind them up to
// a multiple of 16.
#pragma once

#include <stdint.h>

#include "kernels/attention/dots_s8.h"
#include "kernels/linear/dot_s8.h"
#include "kernels/math/math_helium.h"
#include "kernels/quantize/row_s8.h"

// [a, b, c, d]; GCC 12 moves them through memory.
static inline int32x4_t mcu_vector_of(int32_t a, int32_t b, int32_t c, int32_t d) {
    int32x4_t v;
    asm("vmov %q0[2], %q0[0], %1, %2\n\tvmov %q0[3], %q0[1], %3, %4" : "=&w"(v) : "r"(a), "r"(c), "r"(b), "r"(d));
    return v;
}

// The next 16 bytes; x moves on. GCC 12 would keep an address for each load of a loop.
static inline int8x16_t mcu_load_next(const int8_t*& x) {
    int8x16_t v;
    asm("vldrb.u8 %q0, [%1], #16" : "=w"(v), "+r"(x) : "m"(*reinterpret_cast<const int8_t(*)[16]>(x)));
    return v;
}

// The product of a query in registers with the next key.
template <int32_t BLOCKS>
static inline int32_t mcu_next_score(const int8x16_t* query, const int8_t*& key) {
    int32_t sum = vmladavq_s8(query[0], mcu_load_next(key));
    for (int32_t b = 1; b < BLOCKS; ++b) sum = vmladavaq_s8(sum, query[b], mcu_load_next(key));
    return sum;
}

// scores[t] = float(query * keys[t]) * scale, keys[count][16 * BLOCKS]; count is a multiple of 4.
template <int32_t BLOCKS>
static inline void mcu_resident_scores(const int8_t* query, const int8_t* keys, int32_t count, float* scores,
                                       float scale) {
    int8x16_t resident[BLOCKS];
    for (int32_t b = 0; b < BLOCKS; ++b) resident[b] = vld1q_s8(query + 16 * b);
    for (; count > 0; count -= 4, scores += 4) {
        const int32_t a = mcu_next_score<BLOCKS>(resident, keys);
        const int32_t b = mcu_next_score<BLOCKS>(resident, keys);
        const int32_t c = mcu_next_score<BLOCKS>(resident, keys);
        const int32_t d = mcu_next_score<BLOCKS>(resident, keys);
        vstrwq_f32(scores, vmulq_n_f32(vcvtq_f32_s32(mcu_vector_of(a, b, c, d)), scale));
    }
}

// The same for keys[count][n] of any width.
static inline void mcu_scores_of_fours(const int8_t* query, const int8_t* keys, int32_t count, int32_t n, float* scores,
                                       float scale) {
    switch (n) {
        case 16: return mcu_resident_scores<1>(query, keys, count, scores, scale);
        case 32: return mcu_resident_scores<2>(query, keys, count, scores, scale);
        case 64: return mcu_resident_scores<4>(query, keys, count, scores, scale);
        default: return mcu_dots_s8_x4(query, keys, n, n, scores, scores + count, scale);
    }
}

// Of a count that is no multiple of four the last four are computed once more.
static inline void mcu_scores(const int8_t* query, const int8_t* keys, int32_t count, int32_t n, float* scores,
                              float scale) {
    if (count < 4) {
        for (int32_t t = 0; t < count; ++t) scores[t] = float(mcu_dot_s8(query, keys + t * n, n)) * scale;
        return;
    }
    int32_t first = 0;
    int32_t fours = count & ~3;
    for (;;) {
        mcu_scores_of_fours(query, keys + first * n, fours, n, scores + first, scale);
        if (first + fours == count) return;
        first = count - 4;
        fours = 4;
    }
}

static inline void mcu_scale_row(const float* x, float scale, float* out, int32_t n) {
    mcu_for_lanes(
        n, [=](int32_t i, auto lanes) { mcu_store(out + i, vmulq_n_f32(mcu_load(x + i, lanes), scale), lanes); });
}

static inline void mcu_scale_channels(const float* x, float factor, const float* scale, float* out, int32_t n) {
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_load(x + i, lanes), factor);
        mcu_store(out + i, vmulq_f32(scaled, mcu_load(scale + i, lanes)), lanes);
    });
}

static inline float mcu_quantize_query(const float* q, int8_t* query, int32_t n) {
    const float greatest = mcu_row_magnitude(q, n);
    vst1q_s8(query + ((n - 1) & ~15), vdupq_n_s8(0));  // zeros follow the query up to a multiple of 16
    mcu_row_quantize(q, query, n, 127.0f / greatest);
    return greatest / 127.0f;
}

static inline void mcu_weighted_sums(const int8_t* p, const int8_t* values, int32_t positions, int32_t count, int32_t n,
                                     float* out, float scale) {
    int32_t i = n & ~3;
    if (i > 0) mcu_dots_s8_x4(p, values, positions, count, out, out + i, scale);
    for (; i < n; ++i) out[i] = float(mcu_dot_s8(p, values + i * positions, count)) * scale;
}
