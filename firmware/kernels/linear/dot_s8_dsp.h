// kernels/linear/dot_s8.h with DSP instructions.
#pragma once

#include <stdint.h>

#include "kernels/linear/words_dsp.h"

static inline int32_t mcu_dot_s8(const int8_t* a, const int8_t* b, int32_t k) {
    int32_t sum = 0;
    for (; k >= 4; k -= 4, a += 4, b += 4) {
        const uint32_t left = mcu_load_word(a), right = mcu_load_word(b);
        sum = mcu_add_products(mcu_even_halves(left), mcu_even_halves(right), sum);
        sum = mcu_add_products(mcu_odd_halves(left), mcu_odd_halves(right), sum);
    }
    for (; k > 0; --k) sum += int32_t(*a++) * int32_t(*b++);
    return sum;
}

// sums[j] = sum x[i] * w[j][i], w[4][k], over the whole fours of k: kernels/linear/dot_s8.S. Four channels share the
// conversion of x.
extern "C" void mcu_dot4_fours_s8(const int8_t* x, const int8_t* w, int32_t k, int32_t sums[4]);

static inline void mcu_dot4_s8_dsp(const int8_t* x, const int8_t* w, int32_t k, int32_t sums[4]) {
    mcu_dot4_fours_s8(x, w, k, sums);
    for (int32_t i = k & ~3; i < k; ++i) {
        for (int32_t j = 0; j < 4; ++j) sums[j] += int32_t(x[i]) * int32_t(w[j * k + i]);
    }
}

static inline int32_t mcu_dots_s8(const int8_t* x, const int8_t* w, int32_t k, int32_t channels, int32_t sums[4]) {
    if (channels >= 4) {
        mcu_dot4_s8_dsp(x, w, k, sums);
        return 4;
    }
    sums[0] = mcu_dot_s8(x, w, k);
    return 1;
}

// Four bytes at a time, as numbers from 0 on.
static inline int32_t mcu_sum_s8(const int8_t* x, int32_t n) {
    int32_t sum = -128 * (n & ~3);
    for (; n >= 4; n -= 4, x += 4) {
        asm("usada8 %0, %1, %2, %0" : "+r"(sum) : "r"(mcu_load_word(x) ^ 0x80808080u), "r"(0));
    }
    for (; n > 0; --n) sum += *x++;
    return sum;
}
