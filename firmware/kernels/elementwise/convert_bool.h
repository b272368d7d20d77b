// out[i] = whether x[i] is not 0 (a NaN is not). x has the type `kind` (kernels/elementwise/convert.h).
#pragma once

#include <stdint.h>

extern "C" void mcu_convert_bool(const void* x, bool* out, int32_t n, int32_t kind);
