#include "kernels/norm/softmax_s8.h"

#include "kernels/math/math.h"

void mcu_softmax_s8(const int8_t* x, int8_t* out, int32_t rows, int32_t n, float scale, int32_t zero_point,
                    void* scratch) {
    auto* terms = static_cast<float*>(scratch);
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        int8_t highest = x[0];
        for (int32_t i = 1; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
        const float top = float(highest - zero_point) * scale;
        for (int32_t i = 0; i < n; ++i) {
            const float difference = float(x[i] - zero_point) * scale - top;
            terms[i] = difference < -86.0f ? 0.0f : mcu_expf(difference);
        }
        const float sum = mcu_lane_sum(terms, n);
        for (int32_t i = 0; i < n; ++i) {
            out[i] = int8_t(mcu_round_clamped(terms[i] / sum * 256.0f, 0, 255) - 128);
        }
    }
}
