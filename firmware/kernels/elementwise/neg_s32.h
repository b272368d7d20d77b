// out[i] = -x[i], int32, wrapping. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_neg_s32(const int32_t* x, int32_t* out, int32_t n);
