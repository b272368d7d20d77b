#include "kernels/reduce/cumsum_f32.h"

void mcu_cumsum_f32(const float* x, float* out, int32_t outer, int32_t count, int32_t inner) {
    for (int32_t o = 0; o < outer; ++o, x += count * inner, out += count * inner) {
        for (int32_t i = 0; i < inner; ++i) {
            float sum = 0.0f;
            for (int32_t k = 0; k < count; ++k) {
                sum += x[k * inner + i];
                out[k * inner + i] = sum;
            }
        }
    }
}
