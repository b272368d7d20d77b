// aten::embedding: rows of a float table, out[i][n] = weight[ids[i]][n].
//
// weight[vocabulary][n], ids[count] -> out[count][n]; an id outside the table gives a row of zeros. The kernel reads
// and writes apart: out must not overlap any input.
#pragma once

#include <stdint.h>

extern "C" void mcu_embedding_f32(const float* weight, const int64_t* ids, float* out, int32_t count,
                                  int32_t vocabulary, int32_t n);
