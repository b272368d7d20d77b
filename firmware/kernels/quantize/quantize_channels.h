// out[o][c][i] = clamp(rint(x[o][c][i] * inverse[c]) + zero_point[c], low, high) for x[outer][channels][inner].
// Zero points, low and high within int8.
#pragma once

#include <stdint.h>

extern "C" void mcu_quantize_channels(const float* x, const float* inverse, const int32_t* zero_point, int8_t* out,
                                      int32_t outer, int32_t channels, int32_t inner, int32_t low, int32_t high);
