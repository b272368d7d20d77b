// The int8 dot product that every quantized linear and the attention are made of.
#pragma once

#include <stdint.h>

// sum a[i] * b[i] over k elements, exact in int32 for k <= 131,071.
static inline int32_t mcu_dot_s8(const int8_t* a, const int8_t* b, int32_t k) {
    int32_t sum = 0;
    for (int32_t i = 0; i < k; ++i) sum += int32_t(a[i]) * int32_t(b[i]);
    return sum;
}
