// mcu::embedding_s8.packed: rows of a packed int8 table (kernels/linear/packed_s8.h) by number, times the row's scale.
//
// weight[vocabulary / 8][n / 16 rounded up][8][16], scale[vocabulary], ids[count] -> out[count][n], float32.
// `vocabulary` is a multiple of 8; an id outside the table gives zeros. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/packed.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_embedding_s8_packed(const int8_t* weight, const float* scale, const int64_t* ids, float* out,
                                        int32_t count, int32_t vocabulary, int32_t n);
