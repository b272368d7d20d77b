// The parts of kernels/quantize/row_s8.cpp in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

static inline float row_magnitude(const float* x, int32_t n) { return mcu_greatest_magnitude(x, n); }

static inline void row_quantize(const float* x, int8_t* q, int32_t n, float inverse) {
    for (int32_t i = 0; i < n; ++i) q[i] = int8_t(mcu_round_clamped(x[i] * inverse, -127, 127));
}
