// mcu_s4_sum(x, row): 16 times the products of x[32] with one row of a block of int4 weights
// (kernels/linear/blocks_s4.h): the nibbles stay in the upper half of their bytes.
#pragma once

#include "kernels/math/variant.h"

#if defined(MCU_DSP)
#include "kernels/linear/sum_s4_dsp.h"
#else
#include "kernels/linear/sum_s4_portable.h"
#endif
