#include "kernels/elementwise/sign_f32.h"

void mcu_sign_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] > 0.0f ? 1.0f : x[i] < 0.0f ? -1.0f : 0.0f;
}
