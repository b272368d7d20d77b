#include "kernels/gelu_tanh.h"

#include "kernels/math.h"

void mcu_gelu_tanh(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] / mcu_gelu_tanh_denominator(x[i]);
}
