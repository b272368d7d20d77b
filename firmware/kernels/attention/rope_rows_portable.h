// The parts of mcu_rope_rows_s8 in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/attention/rope_rows.h"
#include "kernels/math/math.h"

static inline int8_t rounded(float x, float ratio) { return int8_t(mcu_round_clamped(x * ratio, -127, 127)); }

// The pairs of one position, of all heads.
static inline void rotate_heads(const int8_t* x, const float* cosine, const float* sine, int8_t* out,
                                const McuRopeRows& r) {
    for (int32_t head = 0; head < r.heads; ++head, x += r.n, out += r.n) {
        for (int32_t i = 0; i < r.half; ++i) {
            const auto a = float(x[i * r.step]);
            const auto b = float(x[i * r.step + r.apart]);
            out[i * r.step] = rounded(mcu_fmaf(-b, sine[i], a * cosine[i]), r.ratio);
            out[i * r.step + r.apart] = rounded(mcu_fmaf(a, sine[i], b * cosine[i]), r.ratio);
        }
    }
}

static inline void scale_rest(const int8_t* x, int8_t* out, int32_t n, float ratio) {
    for (int32_t i = 0; i < n; ++i) out[i] = rounded(float(x[i]), ratio);
}
