// out[outer][inner] = the greatest along the middle axis of x[outer][count][inner], count >= 1; a NaN wins.
#pragma once

#include <stdint.h>

extern "C" void mcu_amax_f32(const float* x, float* out, int32_t outer, int32_t count, int32_t inner);
