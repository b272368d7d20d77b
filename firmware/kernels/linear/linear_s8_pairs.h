// Linears of several int8 rows with float results and weights row by row: two rows at a time where the core has DSP
// instructions (kernels/linear/two_rows_s8.h). The specifications are mcu_linear_s8 and mcu_linear_s8_static.
#pragma once

#include <stdint.h>

// As mcu_linear_s8, bit for bit. scratch, 16-aligned: 64 bytes for each 16 of k, rounded up.
extern "C" void mcu_linear_s8_pairs(const int8_t* x, const float* x_scale, const int8_t* weight,
                                    const float* weight_scale, const float* bias, float* out, void* scratch,
                                    int32_t rows, int32_t k, int32_t n);

// As mcu_linear_s8_static; scratch as above.
extern "C" void mcu_linear_s8_static_pairs(const int8_t* x, const int8_t* weight, const int32_t* offset,
                                           const float* scale, const float* bias, float* out, void* scratch,
                                           int32_t rows, int32_t k, int32_t n);
