// Four int8 values a word, with the DSP instructions of Cortex-M4, M7 and M33: two products of 16 bits an instruction.
#pragma once

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
