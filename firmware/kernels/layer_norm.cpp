#include "kernels/layer_norm.h"

#include "kernels/math.h"

void mcu_layer_norm(const float* x, const float* weight, const float* bias, float* out, int32_t rows, int32_t n,
                    float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        const float mean = mcu_lane_sum(x, n) / float(n);
        const float root = 1.0f / mcu_sqrtf(mcu_lane_sum_of_squares(x, n, mean) / float(n) + eps);
        for (int32_t i = 0; i < n; ++i) out[i] = mcu_fmaf((x[i] - mean) * root, weight[i], bias[i]);
    }
}
