// Division of 64-bit numbers by small ones, in a few dozen bytes: libgcc's function for any divisor takes 800.
#pragma once

#include <stdint.h>

// value / divisor for 0 < divisor < 2^16, and the remainder: long division with digits of 16 bits.
inline uint64_t divide_by_small(uint64_t value, uint32_t divisor, uint32_t* remainder) {
    uint64_t quotient = 0;
    uint32_t rest = 0;
    for (int32_t shift = 48; shift >= 0; shift -= 16) {
        rest = rest << 16 | (static_cast<uint32_t>(value >> shift) & 0xFFFF);
        quotient = quotient << 16 | rest / divisor;
        rest %= divisor;
    }
    *remainder = rest;
    return quotient;
}
