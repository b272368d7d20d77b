#include "kernels/gated_gelu_erf.h"

#include "kernels/math.h"

void mcu_gated_gelu_erf(const float* gate, const float* up, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_gelu_erf(gate[i]) * up[i];
}
