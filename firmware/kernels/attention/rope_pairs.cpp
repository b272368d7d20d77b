#include "kernels/attention/rope_pairs.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/rope_pairs_helium.h"
#else
#include "kernels/attention/rope_pairs_portable.h"
#endif

void mcu_rope_pairs(const float* x, const float* cosine, const float* sine, const int64_t* position, float* out,
                    int32_t rows, int32_t n, int32_t half, int32_t positions) {
    int64_t p = *position;
    p = p < 0 ? 0 : p >= positions ? positions - 1 : p;
    cosine += p * half;
    sine += p * half;
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        for (int32_t i = rotate_pairs(x, cosine, sine, out, half); i < half; ++i) {
            const float a = x[2 * i];
            const float b = x[2 * i + 1];
            out[2 * i] = mcu_fmaf(-b, sine[i], a * cosine[i]);
            out[2 * i + 1] = mcu_fmaf(a, sine[i], b * cosine[i]);
        }
        if (out == x) continue;
        for (int32_t i = 2 * half; i < n; ++i) out[i] = x[i];
    }
}
