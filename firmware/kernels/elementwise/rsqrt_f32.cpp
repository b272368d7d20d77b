#include "kernels/elementwise/rsqrt_f32.h"

#include "kernels/math/math.h"

void mcu_rsqrt_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = 1.0f / mcu_sqrtf(x[i]);
}
