// Scores on Helium, four positions at a time.
#pragma once

#include "kernels/attention/dots_s8.h"
#include "kernels/linear/dot_s8.h"
#include "kernels/math/math_helium.h"

#if defined(MCU_HELIUM_FLOAT)

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

// scores[t] = float(query * keys[t]) * scale, keys[count][n]; of a count that is no multiple of four the last four are
// computed once more.
static inline void mcu_scores_x4(const int8_t* query, const int8_t* keys, int32_t count, int32_t n, float* scores,
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
#endif
