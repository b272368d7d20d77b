// The parts of kernels/audio/real_fourier.h where there are no vectors of float32.
#pragma once

#include "kernels/audio/butterflies.h"
#include "kernels/audio/complex.h"

template <typename Butterfly>
static inline void pass_of(const Pass& pass) {
    constexpr int32_t radix = Butterfly::kRadix;
    const int32_t s = pass.stride, part = pass.m * s;
    for (int32_t p = 0; p < pass.m; ++p) {
        const Complex* x = pass.x + s * p;
        Complex* y = pass.y + s * radix * p;
        Complex w[radix];
        for (int32_t j = 1; j < radix; ++j) w[j] = pass.roots[pass.unit * p * j];
        for (int32_t q = 0; q < s; ++q, ++x, ++y) {
            Complex in[radix], out[radix];
            for (int32_t k = 0; k < radix; ++k) in[k] = x[part * k];
            Butterfly::compute(in, w, out);
            for (int32_t j = 0; j < radix; ++j) y[s * j] = out[j];
        }
    }
}

// The first k, from 1 on, for which out[k] is not written.
static inline int32_t powers_by_vectors(const Complex*, const Complex*, int32_t, float*) { return 1; }
