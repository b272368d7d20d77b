#include "kernels/gated_silu.h"

#include "kernels/math.h"

void mcu_gated_silu(const float* gate, const float* up, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = (gate[i] * up[i]) / mcu_sigmoid_denominator(gate[i]);
}
