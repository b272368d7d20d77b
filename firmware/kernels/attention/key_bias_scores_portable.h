// The rows of mcu_key_bias_scores in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

// out[i] = x[i] * factor.
static inline void scale_row(const float* x, float factor, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] * factor;
}

// out[i] = x[i] * factor + out[i], rounded once.
static inline void add_scaled_row(const float* x, float factor, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_fmaf(x[i], factor, out[i]);
}
