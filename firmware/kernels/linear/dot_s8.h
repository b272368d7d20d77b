// The int8 dot products that every quantized linear and the attention are made of.
//
// mcu_dot_s8(a, b, k): the sum of a[i] * b[i], exact in int32 for k <= 131,071. Bytes need no alignment, also in
// vectors. mcu_dots_s8(x, w, k, channels, sums): the sums of one row x[k] with the first channels of w[channels][k],
// channels >= 1: of four where that is faster and there are four, else of one. Returns how many. mcu_sum_s8(x, n): the
// sum of x[i], exact for n < 2^24: what a zero point costs a product, once it is out of the loop.
#pragma once

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/linear/dot_s8_helium.h"
#elif defined(MCU_DSP)
#include "kernels/linear/dot_s8_dsp.h"
#else
#include "kernels/linear/dot_s8_portable.h"
#endif
