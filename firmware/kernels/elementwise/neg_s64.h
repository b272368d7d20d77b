// out[i] = -x[i], int64, wrapping. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_neg_s64(const int64_t* x, int64_t* out, int32_t n);
