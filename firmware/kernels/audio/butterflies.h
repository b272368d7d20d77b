// The arithmetic of a Fourier transform's passes: C is a complex number (kernels/audio/real_fourier.h), or several
// (kernels/audio/real_fourier_helium.h), with plus, minus, times, scaled, minus_turned and plus_turned.
//
// compute(x, w, y): y[j] of the radix's x, those but the first multiplied by w[j].
#pragma once

#include <stdint.h>

struct ButterflyOf2 {
    static constexpr int32_t kRadix = 2;

    template <typename C>
    static inline void compute(const C* x, const C* w, C* y) {
        y[0] = plus(x[0], x[1]);
        y[1] = times(minus(x[0], x[1]), w[1]);
    }
};

struct ButterflyOf4 {
    static constexpr int32_t kRadix = 4;

    template <typename C>
    static inline void compute(const C* x, const C* w, C* y) {
        const C even = plus(x[0], x[2]);
        const C odd = plus(x[1], x[3]);
        const C across = minus(x[0], x[2]);
        const C along = minus(x[1], x[3]);
        y[0] = plus(even, odd);
        y[1] = times(minus_turned(across, along), w[1]);
        y[2] = times(minus(even, odd), w[2]);
        y[3] = times(plus_turned(across, along), w[3]);
    }
};

// Of a fifth of a turn, and of two.
#define COS_1 0.30901699437494745f
#define COS_2 (-0.8090169943749475f)
#define SIN_1 0.9510565162951535f
#define SIN_2 0.5877852522924731f

struct ButterflyOf5 {
    static constexpr int32_t kRadix = 5;

    template <typename C>
    static inline void compute(const C* x, const C* w, C* y) {
        const C outer = plus(x[1], x[4]);
        const C inner = plus(x[2], x[3]);
        const C outside = minus(x[1], x[4]);
        const C inside = minus(x[2], x[3]);
        const C first = plus(plus(x[0], scaled(outer, COS_1)), scaled(inner, COS_2));
        const C second = plus(plus(x[0], scaled(outer, COS_2)), scaled(inner, COS_1));
        const C turned_1 = plus(scaled(outside, SIN_1), scaled(inside, SIN_2));
        const C turned_2 = minus(scaled(outside, SIN_2), scaled(inside, SIN_1));
        y[0] = plus(plus(x[0], outer), inner);
        y[1] = times(minus_turned(first, turned_1), w[1]);
        y[2] = times(minus_turned(second, turned_2), w[2]);
        y[3] = times(plus_turned(second, turned_2), w[3]);
        y[4] = times(plus_turned(first, turned_1), w[4]);
    }
};
