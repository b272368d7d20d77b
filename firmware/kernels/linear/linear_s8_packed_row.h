// The linears of kernels/linear/linear_s8_packed.h for one row: what a decoder's step is made of, in the least code.
#pragma once

#include <stdint.h>

// mcu_linear_s8_packed with rows = 1.
extern "C" void mcu_linear_s8_packed_row(const int8_t* x, const float* x_scale, const int8_t* weight,
                                         const float* weight_scale, const float* bias, float* out, int32_t k,
                                         int32_t n);

// mcu_linear_s8_static_packed with rows = 1.
extern "C" void mcu_linear_s8_static_packed_row(const int8_t* x, const int8_t* weight, const int32_t* offset,
                                                const float* scale, const float* bias, float* out, int32_t k,
                                                int32_t n);

// mcu_linear_s8_requantize_packed with rows = 1.
extern "C" void mcu_linear_s8_requantize_packed_row(const int8_t* x, const int8_t* weight, const int32_t* constants,
                                                    int8_t* out, int32_t k, int32_t n, int32_t zero_point, int32_t low,
                                                    int32_t high);
