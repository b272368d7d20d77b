// int8 linears of several rows, requantized, with weights row by row: two rows at a time
// (kernels/linear/two_rows_s8.h). The specifications are mcu_linear_s8_requantize and mcu_linear_s8_per_tensor.
#pragma once

#include <stdint.h>

#include "kernels/linear/linear_s8.h"

struct McuLinearRows {
    int32_t rows, k, n;
    int32_t step;  // 1: a multiplier and shift for each channel; 0: one for all, four times
    int32_t zero_point, low, high;
};

// x[rows][k], weight[n][k], bias[n] (the input's zero point folded in), multiplier and shift [n] or [4] ->
// out[rows][n]. Shifts within -31 ... -1, multipliers not below 0; k < 2^16. scratch, 16-aligned: 64 bytes for each 16
// of k, rounded up. out must not overlap an input.
extern "C" void mcu_linear_rows_s8(const int8_t* x, const int8_t* weight, const int32_t* bias,
                                   const int32_t* multiplier, const int32_t* shift, int8_t* out,
                                   const McuLinearRows* linear, void* scratch);
