// The powers of a real signal's Fourier transform, in float32 with a fixed order of operations.
//
// Specification: mcu_sdk/operators/reference/fourier.py. Stockham's passes of radix 4, 2 and 5 over half as many
// complex points, to and fro between two buffers; compile with -ffp-contract=off.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/audio/real_fourier_helium.h"
#else
#include "kernels/audio/real_fourier_portable.h"
#endif

// The complex transform of x[points], points = 2^a 5^b, with the roots of 2 * points. x and y are overwritten; returns
// the one with the result.
static inline Complex* transform(Complex* x, Complex* y, const Complex* roots, int32_t points) {
    int32_t stride = 1;
    for (int32_t length = points; length > 1;) {
        const int32_t radix = length % 4 == 0 ? 4 : length % 2 == 0 ? 2 : 5;
        const Pass pass = {x, y, roots, length / radix, stride, 2 * stride};
        if (radix == 4) {
            pass_of<ButterflyOf4>(pass);
        } else if (radix == 2) {
            pass_of<ButterflyOf2>(pass);
        } else {
            pass_of<ButterflyOf5>(pass);
        }
        length /= radix;
        stride *= radix;
        Complex* const result = y;
        y = x;
        x = result;
    }
    return x;
}

static inline float power_of(Complex here, Complex there, Complex root) {
    const Complex a = {here.re + there.re, here.im - there.im};
    const Complex b = times({here.re - there.re, here.im + there.im}, root);
    const Complex x = minus_turned(a, b);
    return x.re * x.re + x.im * x.im;
}

// 4 |X[k]|^2, k = 0 ... points / 2, of the `points` floats in buffer[2 * points], with roots[points]; overwritten.
// Returns where they are, in the buffer.
static inline const float* powers(float* buffer, const Complex* roots, int32_t points) {
    const int32_t half = points / 2;
    auto* x = reinterpret_cast<Complex*>(buffer);
    Complex* y = x + half;
    const Complex* z = transform(x, y, roots, half);
    auto* out = reinterpret_cast<float*>(z == x ? y : x);
    out[0] = power_of(z[0], z[0], roots[0]);
    for (int32_t k = powers_by_vectors(z, roots, half, out); k < half; ++k) {
        out[k] = power_of(z[k], z[half - k], roots[k]);
    }
    out[half] = power_of(z[0], z[0], roots[half]);
    return out;
}
