#include "kernels/gelu_erf.h"

#include "kernels/math.h"

void mcu_gelu_erf(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_gelu_erf(x[i]);
}
