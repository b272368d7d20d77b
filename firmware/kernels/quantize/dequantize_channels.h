// out[o][c][i] = (x[o][c][i] - zero_point[c]) * scale[c] for x[outer][channels][inner].
#pragma once

#include <stdint.h>

extern "C" void mcu_dequantize_channels(const int8_t* x, const float* scale, const int32_t* zero_point, float* out,
                                        int32_t outer, int32_t channels, int32_t inner);
