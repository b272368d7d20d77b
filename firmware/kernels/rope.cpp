#include "kernels/rope.h"

#include "kernels/math.h"
#include "kernels/math_helium.h"

void mcu_rope(const float* x, const float* cosine, const float* sine, const int64_t* position, float* out, int32_t rows,
              int32_t n, int32_t half, int32_t positions) {
    int64_t p = *position;
    p = p < 0 ? 0 : p >= positions ? positions - 1 : p;
    cosine += p * half;  // [half]
    sine += p * half;    // [half]
#if defined(MCU_HELIUM_FLOAT)
    // Four angles at a time for all rows, so that they are loaded once.
    mcu_for_lanes(half, [=](int32_t i, auto lanes) {
        const float32x4_t c = mcu_load(cosine + i, lanes);
        const float32x4_t s = mcu_load(sine + i, lanes);
        const float* from = x + i;
        float* to = out + i;
        for (int32_t row = 0; row < rows; ++row, from += n, to += n) {
            const float32x4_t a = mcu_load(from, lanes);
            const float32x4_t b = mcu_load(from + half, lanes);
            mcu_store(to, vfmsq_f32(vmulq_f32(a, c), b, s), lanes);
            mcu_store(to + half, vfmaq_f32(vmulq_f32(b, c), a, s), lanes);
        }
    });
    if (2 * half == n) return;
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        for (int32_t i = 2 * half; i < n; ++i) out[i] = x[i];
    }
#else
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        for (int32_t i = 0; i < half; ++i) {
            const float a = x[i];
            const float b = x[i + half];
            out[i] = mcu_fmaf(-b, sine[i], a * cosine[i]);
            out[i + half] = mcu_fmaf(a, sine[i], b * cosine[i]);
        }
        for (int32_t i = 2 * half; i < n; ++i) out[i] = x[i];
    }
#endif
}
