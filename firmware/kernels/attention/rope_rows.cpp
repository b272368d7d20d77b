#include "kernels/attention/rope_rows.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/rope_rows_helium.h"
#else
#include "kernels/attention/rope_rows_portable.h"
#endif

void mcu_rope_rows(const float* x, const float* cosine, const float* sine, float* out, const McuRopeRows* rotation) {
    const McuRopeRows r = *rotation;
    for (int32_t row = 0; row < r.positions * r.heads; ++row, x += r.n, out += r.n) {
        const float* c = cosine + row / r.heads * r.half;
        const float* s = sine + row / r.heads * r.half;
        for (int32_t i = 0; i < r.half; ++i) {
            const float a = x[i * r.step];
            const float b = x[i * r.step + r.apart];
            out[i * r.step] = mcu_fmaf(-b, s[i], a * c[i]);
            out[i * r.step + r.apart] = mcu_fmaf(a, s[i], b * c[i]);
        }
        for (int32_t i = 2 * r.half; i < r.n; ++i) out[i] = x[i];
    }
}

void mcu_rope_rows_s8(const int8_t* x, const float* cosine, const float* sine, int8_t* out,
                      const McuRopeRows* rotation) {
    const McuRopeRows r = *rotation;
    const int32_t width = r.heads * r.n;
    for (int32_t row = 0; row < r.positions; ++row, x += width, out += width, cosine += r.half, sine += r.half) {
        rotate_heads(x, cosine, sine, out, r);
        if (2 * r.half == r.n) continue;
        for (int32_t head = 2 * r.half; head < width; head += r.n) {
            scale_rest(x + head, out + head, r.n - 2 * r.half, r.ratio);
        }
    }
}
