// int8 dot products with the DSP instructions of Cortex-M4, M7 and M33: two products of 16 bits an instruction.
#pragma once

#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)
#define MCU_HAS_DSP 1

#include <stdint.h>
#include <string.h>

// Four bytes as one word, wherever they lie: these cores load words at any address.
static inline uint32_t mcu_load_word(const int8_t* bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

// Bytes 0 and 2, and bytes 1 and 3, as halves with their signs. In assembly, because arm_acle.h has the rotation as an
// instruction of its own.
static inline uint32_t mcu_even_halves(uint32_t word) {
    uint32_t halves;
    asm("sxtb16 %0, %1" : "=r"(halves) : "r"(word));
    return halves;
}

static inline uint32_t mcu_odd_halves(uint32_t word) {
    uint32_t halves;
    asm("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}

// sum + low * low + high * high. In assembly: the intrinsic would also say that it may set the Q flag.
static inline int32_t mcu_add_products(uint32_t a, uint32_t b, int32_t sum) {
    asm("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

// sum a[i] * b[i] over k elements.
static inline int32_t mcu_dot_s8_dsp(const int8_t* a, const int8_t* b, int32_t k) {
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

#endif
