#include "kernels/elementwise/cube_f32.h"

#include "kernels/math/math.h"

void mcu_cube_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] * x[i] * x[i];
}
