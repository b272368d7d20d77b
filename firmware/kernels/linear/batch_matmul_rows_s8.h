// cortex_m::quantized_batch_matmul, two rows at a time (kernels/linear/two_rows_s8.h): what mcu_batch_matmul_s8
// computes, which is its specification.
#pragma once

#include <stdint.h>

#include "kernels/linear/batch_matmul_s8.h"

// shift <= 0, multiplier >= 0. scratch, 16-aligned: 64 bytes for each 16 of k, rounded up, and 4 for each of n.
extern "C" void mcu_batch_matmul_rows_s8(const int8_t* a, const int8_t* b, int8_t* out, const McuBatchMatmul* matmul,
                                         void* scratch);
