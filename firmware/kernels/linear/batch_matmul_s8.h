// cortex_m::quantized_batch_matmul: out[batch][m][n] = (a[batch][m][k] + a_offset) (b[batch][n][k] + b_offset) summed
// over k, requantized (kernels/quantize/requantize.h), plus zero_point, clamped to int8.
// Offsets within [-127, 128], k <= 32,768, so that the sum cannot overflow.
#pragma once

#include <stdint.h>

struct McuBatchMatmul {
    int32_t batch, m, k, n;
    int32_t a_offset, b_offset;
    int32_t zero_point, multiplier, shift;  // of out
};

extern "C" void mcu_batch_matmul_s8(const int8_t* a, const int8_t* b, int8_t* out, const McuBatchMatmul* matmul);
