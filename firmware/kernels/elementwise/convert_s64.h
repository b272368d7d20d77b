// out[i] = x[i] as int64; x has the type `kind` (kernels/elementwise/convert.h).
// Floats are rounded towards zero (a NaN is 0, what int64 cannot hold its nearest), then the low 64 bits are kept.
#pragma once

#include <stdint.h>

extern "C" void mcu_convert_s64(const void* x, int64_t* out, int32_t n, int32_t kind);
