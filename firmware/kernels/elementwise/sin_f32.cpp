#include "kernels/elementwise/sin_f32.h"

#include "kernels/math/trigonometry.h"

void mcu_sin_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_sinf(x[i]);
}
