// out[i] = cos(x[i]), for |x| up to 2^18. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_cos_f32(const float* x, float* out, int32_t n);
