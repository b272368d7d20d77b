#include "kernels/elementwise/leaky_relu_f32.h"

void mcu_leaky_relu_f32(const float* x, float* out, int32_t n, float slope) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}
