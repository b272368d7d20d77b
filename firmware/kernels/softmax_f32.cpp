#include "kernels/softmax_f32.h"

#include "kernels/math.h"

void mcu_softmax_f32(const float* x, float* out, int32_t rows, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        float highest = x[0];
        for (int32_t i = 1; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
        // A row that is masked everywhere has no finite maximum: all are alike then.
        if (highest < -3.0e38f) highest = -3.0e38f;
        for (int32_t i = 0; i < n; ++i) {
            const float difference = x[i] - highest;
            out[i] = difference < -86.0f ? 0.0f : mcu_expf(difference);
        }
        const float sum = mcu_lane_sum(out, n);
        for (int32_t i = 0; i < n; ++i) out[i] = out[i] / sum;
    }
}
