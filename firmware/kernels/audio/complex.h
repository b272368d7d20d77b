// Complex numbers, and a pass of a Fourier transform over them.
#pragma once

#include <stdint.h>

struct Complex {
    float re, im;
};

static inline Complex plus(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
static inline Complex minus(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
static inline Complex times(Complex a, Complex w) { return {a.re * w.re - a.im * w.im, a.re * w.im + a.im * w.re}; }
static inline Complex scaled(Complex a, float b) { return {a.re * b, a.im * b}; }
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
