// out[o][k][i] = the sum of x[o][0 .. k][i], wrapping, of x[outer][count][inner]. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_cumsum_s64(const int64_t* x, int64_t* out, int32_t outer, int32_t count, int32_t inner);
