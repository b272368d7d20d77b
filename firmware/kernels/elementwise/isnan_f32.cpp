#include "kernels/elementwise/isnan_f32.h"

#include "kernels/math/math.h"

void mcu_isnan_f32(const float* x, bool* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] != x[i];
}
