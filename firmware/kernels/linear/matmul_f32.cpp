#include "kernels/linear/matmul_f32.h"

#include "kernels/math/math.h"

void mcu_matmul_f32(const float* a, const float* b, const float* bias, float* out, int32_t batch, int32_t m, int32_t k,
                    int32_t n, int32_t b_batch_stride, bool transposed) {
    const int32_t k_step = transposed ? 1 : n;
    const int32_t n_step = transposed ? k : 1;
    for (int32_t i = 0; i < batch; ++i, b += b_batch_stride) {
        for (int32_t row = 0; row < m; ++row, a += k, out += n) {
            for (int32_t column = 0; column < n; ++column) {
                const float* w = b + column * n_step;
                float lanes[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                for (int32_t j = 0; j < k; ++j) lanes[j & 3] = mcu_fmaf(a[j], w[j * k_step], lanes[j & 3]);
                const float value = mcu_lane_total(lanes);
                out[column] = bias != nullptr ? value + bias[column] : value;
            }
        }
    }
}
