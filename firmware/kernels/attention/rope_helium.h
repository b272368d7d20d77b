// The rotation of mcu_rope on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

// Pairs that follow each other in one row: where their halves come from, and where they go.
struct Pairs {
    const float* a;
    const float* b;
    float* a_out;
    float* b_out;

    Pairs(const float* x, float* out, int32_t half) : a(x), b(x + half), a_out(out), b_out(out + half) {}

    void skip(int32_t count) {
        a += count;
        b += count;
        a_out += count;
        b_out += count;
    }
};

// Rotates four, and moves on.
template <typename Lanes>
static inline void rotate(Pairs& pairs, float32x4_t c, float32x4_t s, Lanes lanes) {
    const float32x4_t a = mcu_next(pairs.a, lanes);
    const float32x4_t b = mcu_next(pairs.b, lanes);
    mcu_put(pairs.a_out, vfmsq_f32(vmulq_f32(a, c), b, s), lanes);
    mcu_put(pairs.b_out, vfmaq_f32(vmulq_f32(b, c), a, s), lanes);
}

// All rows' pairs: sixteen of each row while there are, so that half of the table's row stays in registers.
static inline void rotate_rows(const float* x, const float* cosine, const float* sine, float* out, int32_t rows,
                               int32_t n, int32_t half) {
    int32_t i = 0;
    for (; i + 16 <= half; i += 16) {
        Pairs pairs(x + i, out + i, half);
        const float32x4_t c[4] = {mcu_next(cosine, McuAllLanes{}), mcu_next(cosine, McuAllLanes{}),
                                  mcu_next(cosine, McuAllLanes{}), mcu_next(cosine, McuAllLanes{})};
        for (int32_t row = 0; row < rows; ++row, pairs.skip(n - 16)) {
            const float* s = sine;
            for (int32_t j = 0; j < 4; ++j) rotate(pairs, c[j], mcu_next(s, McuAllLanes{}), McuAllLanes{});
        }
        sine += 16;
    }
    mcu_for_lanes(half - i, [=](int32_t j, auto lanes) {
        Pairs pairs(x + i + j, out + i + j, half);
        const float32x4_t c = mcu_load(cosine + j, lanes);
        const float32x4_t s = mcu_load(sine + j, lanes);
        for (int32_t row = 0; row < rows; ++row) {
            Pairs four = pairs;
            rotate(four, c, s, lanes);
            pairs.skip(n);
        }
    });
}
