// cortex_m::quantized_div: (a - a_zero_point) / (b - b_zero_point) * scale in float32, rounded to nearest with ties to
// even, plus out_zero_point, clamped to int8. What is divided by 0 is 0. Zero points within int8; scale is positive:
// that of a over those of b and out. out may be an operand.
#pragma once

#include <stdint.h>

// a, b, out: [count]
extern "C" void mcu_quantized_div(const int8_t* a, const int8_t* b, int8_t* out, int32_t count, int32_t a_zero_point,
                                  int32_t b_zero_point, int32_t out_zero_point, float scale);
