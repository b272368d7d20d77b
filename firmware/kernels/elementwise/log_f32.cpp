#include "kernels/elementwise/log_f32.h"

#include "kernels/math/math_extra.h"

void mcu_log_f32(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_logf(x[i]);
}
