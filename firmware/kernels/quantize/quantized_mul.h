// cortex_m::quantized_mul: (a - a_zero_point) (b - b_zero_point), requantized (kernels/quantize/requantize.h), plus
// out_zero_point, clamped to int8. Zero points within int8. Operands broadcast as kernels/elementwise/broadcast.h says;
// out may be an operand of its own shape.
#pragma once

#include <stdint.h>

struct McuQuantizedMul {
    int32_t a_zero_point, b_zero_point, out_zero_point;
    int32_t multiplier, shift;
};

extern "C" void mcu_quantized_mul(const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape, int32_t axes,
                                  const McuQuantizedMul* scales);
