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

// sums[j] = sum x[i] * w[j][i], w[4][k]: four channels share the conversion of x, 25 instructions for 16 products.
// Two pointers and the distance to the other two rows, and the loop in one piece of assembly: compilers run out of
// registers here and keep pointers and sums on the stack.
static inline void mcu_dot4_s8_dsp(const int8_t* x, const int8_t* w, int32_t k, int32_t sums[4]) {
    const int8_t *w0 = w, *w1 = w + k;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    const int32_t twice = 2 * k;
    const int8_t* const whole = x + (k & ~3);
    while (x != whole) {
        uint32_t even, odd, first, second;
        asm volatile(
            "ldr %[odd], [%[x]], #4\n"
            "ldr %[first], [%[w0], %[twice]]\n"
            "sxtb16 %[even], %[odd]\n"
            "sxtb16 %[odd], %[odd], ror #8\n"
            "sxtb16 %[second], %[first]\n"
            "sxtb16 %[first], %[first], ror #8\n"
            "smlad %[sum2], %[even], %[second], %[sum2]\n"
            "ldr %[second], [%[w1], %[twice]]\n"
            "smlad %[sum2], %[odd], %[first], %[sum2]\n"
            "sxtb16 %[first], %[second]\n"
            "sxtb16 %[second], %[second], ror #8\n"
            "smlad %[sum3], %[even], %[first], %[sum3]\n"
            "ldr %[first], [%[w0]], #4\n"
            "smlad %[sum3], %[odd], %[second], %[sum3]\n"
            "sxtb16 %[second], %[first]\n"
            "sxtb16 %[first], %[first], ror #8\n"
            "smlad %[sum0], %[even], %[second], %[sum0]\n"
            "ldr %[second], [%[w1]], #4\n"
            "smlad %[sum0], %[odd], %[first], %[sum0]\n"
            "sxtb16 %[first], %[second]\n"
            "sxtb16 %[second], %[second], ror #8\n"
            "smlad %[sum1], %[even], %[first], %[sum1]\n"
            "smlad %[sum1], %[odd], %[second], %[sum1]\n"
            : [x] "+r"(x), [w0] "+r"(w0), [w1] "+r"(w1), [sum0] "+r"(sum0), [sum1] "+r"(sum1), [sum2] "+r"(sum2),
              [sum3] "+r"(sum3), [even] "=&r"(even), [odd] "=&r"(odd), [first] "=&r"(first), [second] "=&r"(second)
            : [twice] "r"(twice)
            : "memory");
    }
    for (int32_t i = 0; i < (k & 3); ++i) {
        sum0 += int32_t(x[i]) * int32_t(w0[i]);
        sum1 += int32_t(x[i]) * int32_t(w1[i]);
        sum2 += int32_t(x[i]) * int32_t(w0[twice + i]);
        sum3 += int32_t(x[i]) * int32_t(w1[twice + i]);
    }
    sums[0] = sum0, sums[1] = sum1, sums[2] = sum2, sums[3] = sum3;
}

static inline int32_t mcu_dots_s8(const int8_t* x, const int8_t* w, int32_t k, int32_t channels, int32_t sums[4]) {
    if (channels >= 4) {
        mcu_dot4_s8_dsp(x, w, k, sums);
        return 4;
    }
    sums[0] = mcu_dot_s8(x, w, k);
    return 1;
}

static inline int32_t mcu_sum_s8(const int8_t* x, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; ++i) sum += x[i];
    return sum;
}
