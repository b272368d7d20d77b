// One int8 row times packed int8 weights (kernels/linear/packed_s8.h) on Helium: kernels/linear/gemv_s8_helium.S.
//
// Results come for whole groups of eight channels, at least one, from `out` to `end`. 1 <= k < 2^16, and nothing
// beyond x[k - 1] is read; constants are aligned as their type, weights need no alignment to be right.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
// out[channel] = (float(sum) * scale[channel]) * row_scale; the first for k >= 49, the second for any k.
extern "C" void mcu_gemv_s8_dynamic(const int8_t* x, const int8_t* weight, const float* scale, float* out,
                                    const float* end, int32_t k, float row_scale);
extern "C" void mcu_gemv_s8_dynamic_short(const int8_t* x, const int8_t* weight, const float* scale, float* out,
                                          const float* end, int32_t k, float row_scale);

// out[channel] = float(sum + offset[channel]) * scale[channel].
extern "C" void mcu_gemv_s8_static(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                   float* out, const float* end, int32_t k);

// out[channel] = the requantized (sum + bias), plus zero_point, within [low, high]: kernels/quantize/requantize.h
// without shifts to the left. constants[group][3][8]: biases, multipliers, shifts.
extern "C" void mcu_gemv_s8_requantize(const int8_t* x, const int8_t* weight, const int32_t* constants, int8_t* out,
                                       const int8_t* end, int32_t k, int32_t zero_point, int32_t low, int32_t high);

// out[channel] = added[channel] + the requantized (sum + bias), both saturated to int16, and so is what they come to;
// constants as above. out may be added.
extern "C" void mcu_gemv_s8_add_s16(const int8_t* x, const int8_t* weight, const int32_t* constants, int16_t* out,
                                    const int16_t* end, int32_t k, const int16_t* added);
#endif
