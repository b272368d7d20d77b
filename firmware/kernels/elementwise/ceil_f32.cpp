#include "kernels/elementwise/ceil_f32.h"

#include "kernels/math/math_extra.h"

void mcu_ceil_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = -mcu_floorf(-x[i]);
}
