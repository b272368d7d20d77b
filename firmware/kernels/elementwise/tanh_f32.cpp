#include "kernels/elementwise/tanh_f32.h"

#include "kernels/math/trigonometry.h"

void mcu_tanh_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_tanhf(x[i]);
}
