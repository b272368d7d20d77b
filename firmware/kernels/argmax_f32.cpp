#include "kernels/argmax_f32.h"

void mcu_argmax_f32(const float* x, int64_t* out, int32_t outer, int32_t count, int32_t inner) {
    for (int32_t o = 0; o < outer; ++o, x += count * inner, out += inner) {
        for (int32_t i = 0; i < inner; ++i) {
            int32_t best = 0;
            for (int32_t k = 0; k < count; ++k) {
                const float value = x[k * inner + i];
                const float highest = x[best * inner + i];
                if (value > highest || (value != value && highest == highest)) best = k;
            }
            out[i] = best;
        }
    }
}
