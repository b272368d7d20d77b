// kernels/linear/dot_s8.h in plain C++.
#pragma once

#include <stdint.h>

static inline int32_t mcu_dot_s8(const int8_t* a, const int8_t* b, int32_t k) {
    int32_t sum = 0;
    for (int32_t i = 0; i < k; ++i) sum += int32_t(a[i]) * int32_t(b[i]);
    return sum;
}

static inline int32_t mcu_dots_s8(const int8_t* x, const int8_t* w, int32_t k, int32_t channels, int32_t sums[4]) {
    static_cast<void>(channels);
    sums[0] = mcu_dot_s8(x, w, k);
    return 1;
}

static inline int32_t mcu_sum_s8(const int8_t* x, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; ++i) sum += x[i];
    return sum;
}
