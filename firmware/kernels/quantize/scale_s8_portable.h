// kernels/quantize/scale_s8.h in plain C++.
#pragma once

#include <stdint.h>

static inline void mcu_scale_s8(const int8_t* x, float* out, int32_t n, float scale) {
    for (int32_t i = 0; i < n; ++i) out[i] = float(x[i]) * scale;
}
