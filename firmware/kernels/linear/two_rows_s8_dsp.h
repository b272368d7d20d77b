// kernels/linear/two_rows_s8.h with DSP instructions: the rows as halfwords, both rows' four columns by turns, so that
// one ldm takes them: 15 instructions for 16 products.
#pragma once

#include "kernels/linear/two_rows_s8.h"
#include "kernels/linear/words_dsp.h"

// to[row][even columns, odd columns] of at most four columns, zeros beyond them.
static inline void mcu_two_rows_lay_out_four(uint32_t first, uint32_t second, uint32_t* to) {
    to[0] = mcu_even_halves(first), to[1] = mcu_odd_halves(first);
    to[2] = mcu_even_halves(second), to[3] = mcu_odd_halves(second);
}

static inline void mcu_two_rows_lay_out(const int8_t* x0, const int8_t* x1, int32_t k, int8_t* to) {
    uint32_t* halves = reinterpret_cast<uint32_t*>(to);
    for (; k >= 4; k -= 4, x0 += 4, x1 += 4, halves += 4) {
        mcu_two_rows_lay_out_four(mcu_load_word(x0), mcu_load_word(x1), halves);
    }
    if (k > 0) {
        int8_t last[2][4] = {};
        memcpy(last[0], x0, size_t(k));
        memcpy(last[1], x1, size_t(k));
        mcu_two_rows_lay_out_four(mcu_load_word(last[0]), mcu_load_word(last[1]), halves);
    }
}

// Two channels at a time, n / 2 of them, at least one, k >= 4: kernels/linear/two_rows_s8.S.
extern "C" void mcu_two_rows_by_two_s8(const McuTwoRows* rows);

// What mcu_two_rows_lay_out made of two rows times weight[n][k]: the sums alone, out[row][n].
struct McuTwoRowsSums {
    const int8_t* x;
    const int8_t* weight;
    int32_t* out[2];
    int32_t k, n;
};

// Two channels at a time, n / 2 of them, at least one, k >= 4: kernels/linear/two_rows_s8.S.
extern "C" void mcu_two_rows_sums_s8(const McuTwoRowsSums* rows);

// Column i of a row that is laid out.
static inline int32_t mcu_two_rows_column(const McuTwoRows& p, int32_t row, int32_t i) {
    const int32_t half = (i & 1) * 2 + (i >> 1 & 1);
    return reinterpret_cast<const int16_t*>(p.x)[(i >> 2) * 8 + row * 4 + half];
}

static inline void mcu_one_pair_s8(const McuTwoRows& p) {
    const bool whole = p.k >= 4 && p.n >= 2;
    if (whole) mcu_two_rows_by_two_s8(&p);
    for (int32_t c = whole ? p.n & ~1 : 0; c < p.n; ++c) {
        const int8_t* w = p.weight + c * p.k;
        for (int32_t row = 0; row < 2; ++row) {
            int32_t sum = 0;
            for (int32_t i = 0; i < p.k; ++i) sum += mcu_two_rows_column(p, row, i) * w[i];
            mcu_two_rows_finish(p, row, c, sum);
        }
    }
}

static inline void mcu_two_rows_s8(McuTwoRows p) {
    for (; p.pairs > 0; --p.pairs) {
        mcu_one_pair_s8(p);
        p.x += mcu_two_rows_bytes(p.k);
        p.out[0] += 2 * p.n, p.out[1] += 2 * p.n;
    }
}
