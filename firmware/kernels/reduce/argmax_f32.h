// out[outer][inner] = where the greatest along the middle axis of x[outer][count][inner] is, count >= 1.
// The first of equals; the first NaN, where there is one.
#pragma once

#include <stdint.h>

extern "C" void mcu_argmax_f32(const float* x, int64_t* out, int32_t outer, int32_t count, int32_t inner);
