// out[o][k][i] = the sum of x[o][0 .. k][i], in order, of x[outer][count][inner]. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_cumsum_f32(const float* x, float* out, int32_t outer, int32_t count, int32_t inner);
