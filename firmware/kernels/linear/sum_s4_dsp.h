// kernels/linear/sum_s4.h with DSP instructions: 18 for 8 products.
#pragma once

#include <stdint.h>

#include "kernels/linear/words_dsp.h"

// The four bytes of a word times four of x, added to sum.
static inline int32_t mcu_s4_add_products(const int8_t* x, uint32_t word, int32_t sum) {
    const uint32_t inputs = mcu_load_word(x);
    sum = mcu_add_products(mcu_even_halves(inputs), mcu_even_halves(word), sum);
    return mcu_add_products(mcu_odd_halves(inputs), mcu_odd_halves(word), sum);
}

static inline int32_t mcu_s4_sum(const int8_t* x, const int8_t* row) {
    const uint32_t upper = 0xF0F0F0F0u;
    int32_t sum = 0;
    for (int32_t i = 0; i < 16; i += 4) {
        const uint32_t word = mcu_load_word(row + i);
        sum = mcu_s4_add_products(x + i, (word << 4) & upper, sum);
        sum = mcu_s4_add_products(x + i + 16, word & upper, sum);
    }
    return sum;
}
