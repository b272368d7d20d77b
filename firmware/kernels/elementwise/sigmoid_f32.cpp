#include "kernels/elementwise/sigmoid_f32.h"

#include "kernels/math/math.h"

void mcu_sigmoid_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = 1.0f / mcu_sigmoid_denominator(x[i]);
}
