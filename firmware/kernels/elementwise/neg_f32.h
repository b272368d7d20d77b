// out[i] = -x[i]. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_neg_f32(const float* x, float* out, int32_t n);
