#include "kernels/gated_gelu_tanh.h"

#include "kernels/math.h"

void mcu_gated_gelu_tanh(const float* gate, const float* up, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = (gate[i] * up[i]) / mcu_gelu_tanh_denominator(gate[i]);
}
