// One int8 row times int4 weights (kernels/linear/blocks_s4.h) on Helium: kernels/linear/gemv_s4_helium.S.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
// out[channel] = total * row_scale for whole groups of eight channels, at least one, from `out` to `end`; nothing
// beyond x[k - 1] is read, k >= 1. out is aligned as floats are, the rest needs no alignment to be right.
extern "C" void mcu_gemv_s4(const int8_t* x, const int8_t* weight, float* out, const float* end, int32_t k,
                            float row_scale);
#endif
