#include "kernels/norm/log_softmax_f32.h"

#include "kernels/math/math_extra.h"

void mcu_log_softmax_f32(const float* x, float* out, int32_t rows, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        float highest = x[0];
        for (int32_t i = 1; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
        float lanes[4] = {};
        for (int32_t i = 0; i < n; ++i) lanes[i & 3] += mcu_exp_wide(x[i] - highest);
        const float logarithm = mcu_logf(mcu_lane_total(lanes));
        for (int32_t i = 0; i < n; ++i) out[i] = (x[i] - highest) - logarithm;
    }
}
