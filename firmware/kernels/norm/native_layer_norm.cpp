#include "kernels/norm/native_layer_norm.h"

#include "kernels/math/math.h"

void mcu_native_layer_norm(const float* x, const float* weight, const float* bias, float* out, float* mean, float* root,
                           int32_t rows, int32_t n, float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        const float m = mcu_lane_sum(x, n) / float(n);
        const float r = 1.0f / mcu_sqrtf(mcu_lane_sum_of_squares(x, n, m) / float(n) + eps);
        for (int32_t i = 0; i < n; ++i) {
            const float scaled = (x[i] - m) * r;
            out[i] = mcu_fmaf(scaled, weight != nullptr ? weight[i] : 1.0f, bias != nullptr ? bias[i] : 0.0f);
        }
        mean[row] = m;
        root[row] = r;
    }
}
