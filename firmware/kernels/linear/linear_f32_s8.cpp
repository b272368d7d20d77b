#include "kernels/linear/linear_f32_s8.h"

#include "kernels/math/math.h"

void mcu_linear_f32_s8(const float* x, const int8_t* weight, const float* scale, float* out, int32_t m, int32_t k,
                       int32_t n) {
    for (int32_t row = 0; row < m; ++row, x += k, out += n) {
        const int8_t* w = weight;  // [k]
        for (int32_t column = 0; column < n; ++column, w += k) {
            float lanes[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (int32_t j = 0; j < k; ++j) lanes[j & 3] = mcu_fmaf(x[j], float(w[j]), lanes[j & 3]);
            out[column] = mcu_lane_total(lanes) * scale[column];
        }
    }
}
