// Quantizing a row by its greatest magnitude: what linears, attention and the writing of a KV cache have in common. Of
// these there is one in an image, however many kernels call it.
#pragma once

#include <stdint.h>

// max |x| of n floats, NaNs ignored; 1 where nothing is above MCU_TINY, so that a scale can be made of it.
extern "C" float mcu_row_magnitude(const float* x, int32_t n);

// q[i] = rint(x[i] * inverse) for n floats, where inverse is 127 / m, the row's greatest magnitude m as above; NaNs
// give 0. No result lies beyond 127: no |x| is above m, and 127 with its two rounding errors is not yet 127.5.
extern "C" void mcu_row_quantize(const float* x, int8_t* q, int32_t n, float inverse);

// The float16 scale of a row of a KV cache: max |x| / 127, within float16's normal numbers.
extern "C" uint16_t mcu_row_scale(const float* x, int32_t n);

// 1 over that scale, as the row is written by it.
extern "C" float mcu_row_inverse_scale(const float* x, int32_t n);
