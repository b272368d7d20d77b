#include "kernels/elementwise/isinf_f32.h"

#include "kernels/math/math.h"

void mcu_isinf_f32(const float* x, bool* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_absf(x[i]) > 3.40282347e38f;
}
