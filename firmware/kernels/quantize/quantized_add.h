// cortex_m::quantized_add: both operands, less their zero points and shifted left by 20 bits, are brought to one scale,
// added, and requantized; then clamped to [low, high].
//
// The arithmetic is kernels/quantize/requantize.h's. Zero points within int8, -128 <= low <= high <= 127.
// Operands broadcast as kernels/elementwise/broadcast.h says; out may be an operand of its own shape.
#pragma once

#include <stdint.h>

struct McuQuantizedAdd {
    int32_t a_zero_point, a_multiplier, a_shift;
    int32_t b_zero_point, b_multiplier, b_shift;
    int32_t out_zero_point, out_multiplier, out_shift;
    int32_t low, high;
};

extern "C" void mcu_quantized_add(const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape, int32_t axes,
                                  const McuQuantizedAdd* scales);
