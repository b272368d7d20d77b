#include "kernels/elementwise/hardsigmoid_f32.h"

void mcu_hardsigmoid_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) {
        const float shifted = x[i] + 3.0f;
        const float t = (shifted < 0.0f ? 0.0f : shifted > 6.0f ? 6.0f : shifted) / 6.0f;
        out[i] = t;
    }
}
