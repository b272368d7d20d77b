#include "kernels/rope.h"

#include "kernels/math.h"

void mcu_rope(const float* x, const float* cosine, const float* sine, const int64_t* position, float* out, int32_t rows,
              int32_t n, int32_t half, int32_t positions) {
    int64_t p = *position;
    p = p < 0 ? 0 : p >= positions ? positions - 1 : p;
    cosine += p * half;  // [half]
    sine += p * half;    // [half]
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        for (int32_t i = 0; i < half; ++i) {
            const float a = x[i];
            const float b = x[i + half];
            out[i] = mcu_fmaf(-b, sine[i], a * cosine[i]);
            out[i + half] = mcu_fmaf(a, sine[i], b * cosine[i]);
        }
        for (int32_t i = 2 * half; i < n; ++i) out[i] = x[i];
    }
}
