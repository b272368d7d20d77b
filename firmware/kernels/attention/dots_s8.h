// One int8 row times many others on Helium, four at a time: kernels/attention/dots_s8_helium.S.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
// out[i] = float(sum over j < k of x[j] * rows[i * stride + j]) * scale, from `out` to `end`, a multiple of four and at
// least four. 1 <= k <= 131,071; x is readable up to a multiple of 16 and zero behind k; nothing behind a row's k is
// read. Floats are aligned as such, bytes need no alignment to be right.
extern "C" void mcu_dots_s8_x4(const int8_t* x, const int8_t* rows, int32_t stride, int32_t k, float* out,
                               const float* end, float scale);
#endif
