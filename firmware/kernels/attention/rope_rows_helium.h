// The parts of mcu_rope_rows_s8 on Helium.
#pragma once

#include <stdint.h>

#include "kernels/attention/rope_rows.h"
#include "kernels/math/math_helium.h"

static inline float32x4_t gather(const int8_t* x, uint32x4_t places, McuAllLanes) {
    return vcvtq_f32_s32(vldrbq_gather_offset_s32(x, places));
}

static inline float32x4_t gather(const int8_t* x, uint32x4_t places, McuLanes lanes) {
    return vcvtq_f32_s32(vldrbq_gather_offset_z_s32(x, places, lanes.predicate));
}

static inline int32x4_t rounded(float32x4_t x, float ratio) {
    return mcu_round_clamped_lanes(vmulq_n_f32(x, ratio), -127, 127);
}

// The pairs of one position, of all heads: four pairs of each head while their angles are in registers.
static inline void rotate_heads(const int8_t* x, const float* cosine, const float* sine, int8_t* out,
                                const McuRopeRows& r) {
    const uint32x4_t places = vmulq_n_u32(vidupq_n_u32(0, 1), uint32_t(r.step));
    mcu_for_lanes(r.half, [=](int32_t i, auto lanes) {
        const float32x4_t c = mcu_load(cosine + i, lanes);
        const float32x4_t s = mcu_load(sine + i, lanes);
        const int8_t* from = x + i * r.step;
        int8_t* to = out + i * r.step;
        for (int32_t head = 0; head < r.heads; ++head, from += r.n, to += r.n) {
            const float32x4_t a = gather(from, places, lanes);
            const float32x4_t b = gather(from + r.apart, places, lanes);
            mcu_scatter(to, places, rounded(vfmsq_f32(vmulq_f32(a, c), b, s), r.ratio), lanes);
            mcu_scatter(to + r.apart, places, rounded(vfmaq_f32(vmulq_f32(b, c), a, s), r.ratio), lanes);
        }
    });
}

static inline void scale_rest(const int8_t* x, int8_t* out, int32_t n, float ratio) {
    mcu_walk_lanes(n, [&](auto lanes) { mcu_put(out, rounded(vcvtq_f32_s32(mcu_next(x, lanes)), ratio), lanes); });
}
