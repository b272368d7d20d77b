// The parts of kernels/audio/real_fourier.h on Helium: two complex numbers are a vector. The same operations on each
// element, so the same bits; nothing is fused.
#pragma once

#include <arm_mve.h>

#include "kernels/audio/complex.h"
#include "kernels/math/math_helium.h"

static inline float32x4_t plus(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
static inline float32x4_t minus(float32x4_t a, float32x4_t b) { return vsubq_f32(a, b); }
static inline float32x4_t times(float32x4_t a, float32x4_t w) {
    return vaddq_f32(vcmulq_f32(a, w), vcmulq_rot90_f32(a, w));
}
static inline float32x4_t scaled(float32x4_t a, float b) { return vmulq_n_f32(a, b); }
static inline float32x4_t minus_turned(float32x4_t a, float32x4_t b) { return vcaddq_rot270_f32(a, b); }
static inline float32x4_t plus_turned(float32x4_t a, float32x4_t b) { return vcaddq_rot90_f32(a, b); }

// Behind what it calls.
#include "kernels/audio/butterflies.h"

static inline float32x4_t load_two(const Complex* from) { return vldrwq_f32(&from->re); }
static inline float32x4_t twice(Complex w) { return float32x4_t{w.re, w.im, w.re, w.im}; }

// Of the first pass: two p at a time, whose roots and results lie apart. An odd m's last p is computed with the one
// before it, once more, and a single one twice at once.
template <typename Butterfly>
static inline void first_pass(const Pass& pass) {
    constexpr int32_t radix = Butterfly::kRadix;
    constexpr auto kBytes = uint32_t(sizeof(Complex));
    const uint32x4_t upper = {0, 0, pass.m > 1 ? kBytes : 0, 0}, both = {kBytes, 0, kBytes, 0};
    const uint64x2_t between = vreinterpretq_u64_u32(upper);
    const uint64x2_t apart = vreinterpretq_u64_u32(vmulq_n_u32(upper, radix));
    const uint32x4_t next = vmulq_n_u32(both, uint32_t(pass.unit));
    uint32x4_t offsets = vmulq_n_u32(upper, uint32_t(pass.unit));
    const auto* x = reinterpret_cast<const uint64_t*>(pass.x);
    const auto* const roots = reinterpret_cast<const uint64_t*>(pass.roots);
    auto* y = reinterpret_cast<uint64_t*>(pass.y);
    for (int32_t left = pass.m;;) {
        float32x4_t in[radix], w[radix], out[radix];
        for (int32_t j = 1; j < radix; ++j) {
            const uint64x2_t at = vreinterpretq_u64_u32(vmulq_n_u32(offsets, uint32_t(j)));
            w[j] = vreinterpretq_f32_u64(vldrdq_gather_offset_u64(roots, at));
        }
        for (int32_t k = 0; k < radix; ++k) {
            in[k] = vreinterpretq_f32_u64(vldrdq_gather_offset_u64(x + pass.m * k, between));
        }
        Butterfly::compute(in, w, out);
        for (int32_t j = 0; j < radix; ++j) vstrdq_scatter_offset_u64(y + j, apart, vreinterpretq_u64_f32(out[j]));
        if (left <= 2) break;
        const int32_t step = left == 3 ? 1 : 2;
        left -= step, x += step, y += radix * step;
        offsets = vaddq_u32(offsets, vmulq_n_u32(next, uint32_t(step)));
    }
}

// Two q at a time; an odd stride's last one likewise.
template <typename Butterfly>
static inline void pass_of(const Pass& pass) {
    constexpr int32_t radix = Butterfly::kRadix;
    const int32_t s = pass.stride, part = pass.m * s;
    if (s == 1) {
        first_pass<Butterfly>(pass);
        return;
    }
    for (int32_t p = 0; p < pass.m; ++p) {
        const Complex* x = pass.x + s * p;
        Complex* y = pass.y + s * radix * p;
        float32x4_t w[radix];
        for (int32_t j = 1; j < radix; ++j) w[j] = twice(pass.roots[pass.unit * p * j]);
        for (int32_t pairs = s / 2, odd = s % 2;; --odd, pairs = 1, --x, --y) {
            for (; pairs > 0; --pairs, x += 2, y += 2) {
                float32x4_t in[radix], out[radix];
                for (int32_t k = 0; k < radix; ++k) in[k] = load_two(x + part * k);
                Butterfly::compute(in, w, out);
                for (int32_t j = 0; j < radix; ++j) vstrwq_f32(&y[s * j].re, out[j]);
            }
            if (odd <= 0) break;
        }
    }
}

// The first k, from 1 on, for which out[k] is not written.
static inline int32_t powers_by_vectors(const Complex* z, const Complex* roots, int32_t half, float* out) {
    const uint32x4_t offsets = vmulq_n_u32(vddupq_n_u32(3, 1), uint32_t(sizeof(Complex)));  // of z[-k], z[-k - 1], ...
    int32_t k = 1;
    for (; k + 4 <= half; k += 4) {
        const float32x4x2_t here = vld2q_f32(&z[k].re), root = vld2q_f32(&roots[k].re);
        const float* const back = &z[half - k - 3].re;
        const float32x4_t there_re = vldrwq_gather_offset_f32(back, offsets);
        const float32x4_t there_im = vldrwq_gather_offset_f32(back + 1, offsets);
        const float32x4_t a_re = vaddq_f32(here.val[0], there_re), a_im = vsubq_f32(here.val[1], there_im);
        const float32x4_t b_re = vsubq_f32(here.val[0], there_re), b_im = vaddq_f32(here.val[1], there_im);
        const float32x4_t t_re = vsubq_f32(vmulq_f32(b_re, root.val[0]), vmulq_f32(b_im, root.val[1]));
        const float32x4_t t_im = vaddq_f32(vmulq_f32(b_re, root.val[1]), vmulq_f32(b_im, root.val[0]));
        const float32x4_t re = vaddq_f32(a_re, t_im), im = vsubq_f32(a_im, t_re);
        vstrwq_f32(out + k, vaddq_f32(vmulq_f32(re, re), vmulq_f32(im, im)));
    }
    return k;
}
