#include "kernels/reduce/mean_f32.h"

#include "kernels/math/math.h"

void mcu_mean_f32(const float* x, float* out, int32_t outer, int32_t count, int32_t inner, float divisor) {
    for (int32_t o = 0; o < outer; ++o, x += count * inner, out += inner) {
        if (inner == 1) {
            out[0] = mcu_lane_sum(x, count) / divisor;
            continue;
        }
        for (int32_t i = 0; i < inner; ++i) {
            float sum = 0.0f;
            for (int32_t k = 0; k < count; ++k) sum += x[k * inner + i];
            out[i] = sum / divisor;
        }
    }
}
