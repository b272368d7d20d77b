// The rotation of mcu_rope in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

static inline void rotate_rows(const float* x, const float* cosine, const float* sine, float* out, int32_t rows,
                               int32_t n, int32_t half) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        for (int32_t i = 0; i < half; ++i) {
            const float a = x[i];
            const float b = x[i + half];
            out[i] = mcu_fmaf(-b, sine[i], a * cosine[i]);
            out[i + half] = mcu_fmaf(a, sine[i], b * cosine[i]);
        }
    }
}
