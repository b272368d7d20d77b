#include "kernels/silu.h"

#include "kernels/math.h"

void mcu_silu(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] / mcu_sigmoid_denominator(x[i]);
}
