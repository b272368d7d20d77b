// The rotation of mcu_rope_pairs on Helium: loads and stores that take pairs apart and together.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

// The pairs of one row, four at a time; returns how many that were.
static inline int32_t rotate_pairs(const float* x, const float* cosine, const float* sine, float* out, int32_t half) {
    int32_t i = 0;
    for (; i + 4 <= half; i += 4) {
        const float32x4x2_t ab = vld2q_f32(x + 2 * i);
        const float32x4_t c = vldrwq_f32(cosine + i);
        const float32x4_t s = vldrwq_f32(sine + i);
        float32x4x2_t turned;
        turned.val[0] = vfmsq_f32(vmulq_f32(ab.val[0], c), ab.val[1], s);
        turned.val[1] = vfmaq_f32(vmulq_f32(ab.val[1], c), ab.val[0], s);
        vst2q_f32(out + 2 * i, turned);
    }
    return i;
}
