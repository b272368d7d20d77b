// kernels/linear/sum_s4.h in plain C++.
#pragma once

#include <stdint.h>

static inline int32_t mcu_s4_sum(const int8_t* x, const int8_t* row) {
    int32_t sum = 0;
    for (int32_t i = 0; i < 16; ++i) {
        const uint32_t byte = uint8_t(row[i]);
        sum += int32_t(x[i]) * int32_t(int8_t(byte << 4));
        sum += int32_t(x[i + 16]) * int32_t(int8_t(byte & 0xF0u));
    }
    return sum;
}
