#include "kernels/reduce/amax_f32.h"

void mcu_amax_f32(const float* x, float* out, int32_t outer, int32_t count, int32_t inner) {
    for (int32_t o = 0; o < outer; ++o, x += count * inner, out += inner) {
        for (int32_t i = 0; i < inner; ++i) {
            float best = x[i];
            for (int32_t k = 0; k < count; ++k) {
                const float value = x[k * inner + i];
                if (value > best || value != value) best = value;
            }
            out[i] = best;
        }
    }
}
