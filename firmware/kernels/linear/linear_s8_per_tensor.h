// cortex_m::quantized_linear: int8 all through, one multiplier and shift for all channels.
//
// x[rows][k], weight[n][k], bias[n] (the input's zero point folded in, as kernel_sum has it; nullptr: zeros) ->
// out[rows][n], requantized (kernels/quantize/requantize.h), plus zero_point, clamped to [low, high] within int8.
// k <= 131,071, so that the products cannot overflow; adding the bias wraps.
#pragma once

#include <stdint.h>

extern "C" void mcu_linear_s8_per_tensor(const int8_t* x, const int8_t* weight, const int32_t* bias, int8_t* out,
                                         int32_t rows, int32_t k, int32_t n, int32_t multiplier, int32_t shift,
                                         int32_t zero_point, int32_t low, int32_t high);
