#include "kernels/softmax_s8.h"

#include "kernels/math.h"

void mcu_softmax_s8(const int8_t* x, int8_t* out, int32_t rows, int32_t n, float scale, int32_t zero_point,
                    float* scratch) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        int8_t highest = x[0];
        for (int32_t i = 1; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
        const float top = float(highest - zero_point) * scale;
        for (int32_t i = 0; i < n; ++i) {
            const float difference = float(x[i] - zero_point) * scale - top;
            scratch[i] = difference < -86.0f ? 0.0f : mcu_expf(difference);
        }
        const float sum = mcu_lane_sum(scratch, n);
        for (int32_t i = 0; i < n; ++i) {
            out[i] = int8_t(mcu_round_clamped(scratch[i] / sum * 256.0f, 0, 255) - 128);
        }
    }
}
