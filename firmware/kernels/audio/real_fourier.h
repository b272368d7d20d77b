// The powers of a real signal's Fourier transform, in float32 with a fixed order of operations.
//
// Specification: mcu_sdk/operators/reference/fourier.py. Stockham's passes of radix 4, 2 and 5 over half as many
// complex points, to and fro between two buffers; compile with -ffp-contract=off.
#pragma once

#include <stdint.h>

struct Complex {
    float re, im;
};

static inline Complex plus(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
static inline Complex minus(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
static inline Complex times(Complex a, Complex w) { return {a.re * w.re - a.im * w.im, a.re * w.im + a.im * w.re}; }
// a - i b and a + i b.
static inline Complex minus_turned(Complex a, Complex b) { return {a.re + b.im, a.im - b.re}; }
static inline Complex plus_turned(Complex a, Complex b) { return {a.re - b.im, a.im + b.re}; }

// A pass: x[stride * (p + m k) + q] -> y[stride * (radix p + j) + q], whose roots are `unit` * p * j.
struct Pass {
    const Complex* x;
    Complex* y;
    const Complex* roots;
    int32_t m, stride, unit;
};

static inline void pass_of_2(const Pass& pass) {
    const int32_t s = pass.stride;
    const int32_t part = pass.m * s;
    for (int32_t p = 0; p < pass.m; ++p) {
        const Complex w = pass.roots[pass.unit * p];
        const Complex* x = pass.x + s * p;
        Complex* y = pass.y + s * 2 * p;
        for (int32_t q = 0; q < s; ++q, ++x, ++y) {
            y[0] = plus(x[0], x[part]);
            y[s] = times(minus(x[0], x[part]), w);
        }
    }
}

static inline void pass_of_4(const Pass& pass) {
    const int32_t s = pass.stride;
    const int32_t part = pass.m * s;
    for (int32_t p = 0; p < pass.m; ++p) {
        const Complex w1 = pass.roots[pass.unit * p];
        const Complex w2 = pass.roots[pass.unit * p * 2];
        const Complex w3 = pass.roots[pass.unit * p * 3];
        const Complex* x = pass.x + s * p;
        Complex* y = pass.y + s * 4 * p;
        for (int32_t q = 0; q < s; ++q, ++x, ++y) {
            const Complex even = plus(x[0], x[2 * part]);
            const Complex odd = plus(x[part], x[3 * part]);
            const Complex across = minus(x[0], x[2 * part]);
            const Complex along = minus(x[part], x[3 * part]);
            y[0] = plus(even, odd);
            y[s] = times(minus_turned(across, along), w1);
            y[2 * s] = times(minus(even, odd), w2);
            y[3 * s] = times(plus_turned(across, along), w3);
        }
    }
}

// Of a fifth of a turn, and of two.
#define COS_1 0.30901699437494745f
#define COS_2 (-0.8090169943749475f)
#define SIN_1 0.9510565162951535f
#define SIN_2 0.5877852522924731f

static inline Complex middle(Complex x, float a, Complex outer, float b, Complex inner) {
    return {(x.re + a * outer.re) + b * inner.re, (x.im + a * outer.im) + b * inner.im};
}

static inline void pass_of_5(const Pass& pass) {
    const int32_t s = pass.stride;
    const int32_t part = pass.m * s;
    for (int32_t p = 0; p < pass.m; ++p) {
        const Complex* w = pass.roots;
        const int32_t unit = pass.unit * p;
        const Complex* x = pass.x + s * p;
        Complex* y = pass.y + s * 5 * p;
        for (int32_t q = 0; q < s; ++q, ++x, ++y) {
            const Complex outer = plus(x[part], x[4 * part]);
            const Complex inner = plus(x[2 * part], x[3 * part]);
            const Complex outside = minus(x[part], x[4 * part]);
            const Complex inside = minus(x[2 * part], x[3 * part]);
            const Complex first = middle(x[0], COS_1, outer, COS_2, inner);
            const Complex second = middle(x[0], COS_2, outer, COS_1, inner);
            const Complex turned_1 = {SIN_1 * outside.re + SIN_2 * inside.re, SIN_1 * outside.im + SIN_2 * inside.im};
            const Complex turned_2 = {SIN_2 * outside.re - SIN_1 * inside.re, SIN_2 * outside.im - SIN_1 * inside.im};
            y[0] = plus(plus(x[0], outer), inner);
            y[s] = times(minus_turned(first, turned_1), w[unit]);
            y[2 * s] = times(minus_turned(second, turned_2), w[unit * 2]);
            y[3 * s] = times(plus_turned(second, turned_2), w[unit * 3]);
            y[4 * s] = times(plus_turned(first, turned_1), w[unit * 4]);
        }
    }
}

// The complex transform of x[points], points = 2^a 5^b, with the roots of 2 * points. x and y are overwritten; returns
// the one with the result.
static inline Complex* transform(Complex* x, Complex* y, const Complex* roots, int32_t points) {
    int32_t stride = 1;
    for (int32_t length = points; length > 1;) {
        const int32_t radix = length % 4 == 0 ? 4 : length % 2 == 0 ? 2 : 5;
        const Pass pass = {x, y, roots, length / radix, stride, 2 * stride};
        if (radix == 4) {
            pass_of_4(pass);
        } else if (radix == 2) {
            pass_of_2(pass);
        } else {
            pass_of_5(pass);
        }
        length /= radix;
        stride *= radix;
        Complex* const result = y;
        y = x;
        x = result;
    }
    return x;
}

// 4 |X[k]|^2, k = 0 ... points / 2, of the `points` floats in buffer[2 * points], with roots[points]; overwritten.
// Returns where they are, in the buffer.
static inline const float* powers(float* buffer, const Complex* roots, int32_t points) {
    const int32_t half = points / 2;
    auto* x = reinterpret_cast<Complex*>(buffer);
    Complex* y = x + half;
    const Complex* z = transform(x, y, roots, half);
    auto* out = reinterpret_cast<float*>(z == x ? y : x);
    for (int32_t k = 0; k <= half; ++k) {
        const Complex here = z[k < half ? k : 0];
        const Complex there = z[k > 0 && k < half ? half - k : 0];
        const Complex a = {here.re + there.re, here.im - there.im};
        const Complex b = times({here.re - there.re, here.im + there.im}, roots[k]);
        const float re = a.re + b.im;
        const float im = a.im - b.re;
        out[k] = re * re + im * im;
    }
    return out;
}
