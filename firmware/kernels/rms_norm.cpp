#include "kernels/rms_norm.h"

#include "kernels/math.h"

void mcu_rms_norm(const float* x, const float* weight, float* out, int32_t rows, int32_t n, float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        const float root = 1.0f / mcu_sqrtf(mcu_lane_sum_of_squares(x, n, 0.0f) / float(n) + eps);
        for (int32_t i = 0; i < n; ++i) out[i] = (x[i] * root) * weight[i];
    }
}
