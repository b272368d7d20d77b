// kernels/attention/cache_row.h in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

static inline float mcu_factor(const float* factors, int32_t i) { return factors[i]; }
static inline float mcu_factor(float factor, int32_t) { return factor; }

template <typename Inverse>
static inline void mcu_write_column(const float* x, Inverse inverse, int8_t* to, int32_t step, int32_t n) {
    for (int32_t i = 0; i < n; ++i) to[i * step] = int8_t(mcu_round_clamped(x[i] * mcu_factor(inverse, i), -127, 127));
}

template <typename Inverse>
static inline void mcu_write_row(const float* x, Inverse inverse, int8_t* to, int32_t n) {
    mcu_write_column(x, inverse, to, 1, n);
}
