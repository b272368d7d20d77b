#include "kernels/elementwise/power_f32.h"

void mcu_power_f32(const float* x, float* out, int32_t n, int32_t exponent) {
    for (int32_t i = 0; i < n; ++i) {
        float square = x[i];
        float result = 1.0f;
        for (int32_t bits = exponent;;) {
            if ((bits & 1) != 0) result *= square;
            bits >>= 1;
            if (bits == 0) break;
            square *= square;
        }
        out[i] = result;
    }
}
