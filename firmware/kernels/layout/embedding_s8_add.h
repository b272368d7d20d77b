// mcu::embedding_s8_add_: x[i] += float(weight[ids[i]]) * scale[ids[i]] for each of count rows x[count][n], with
// weight[vocabulary][n], scale[vocabulary]; an id that is out of range adds nothing. x must not overlap the rest.
// Specification: mcu_sdk/operators/reference/rows_s8.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_embedding_s8_add(float* x, const int8_t* weight, const float* scale, const int64_t* ids,
                                     int32_t count, int32_t vocabulary, int32_t n);
