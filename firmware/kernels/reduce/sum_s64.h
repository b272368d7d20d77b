// out[outer][inner] = the sum along the middle axis of x[outer][count][inner], wrapping.
#pragma once

#include <stdint.h>

extern "C" void mcu_sum_s64(const int64_t* x, int64_t* out, int32_t outer, int32_t count, int32_t inner);
