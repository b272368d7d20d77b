// out[o][i][j] = x[o][index[o][i][j]][j] for x[outer][rows][inner] and index, out[outer][count][inner].
// A negative index counts from the end; one that is out of range gives 0.
#pragma once

#include <stdint.h>

extern "C" void mcu_gather(const void* x, const int64_t* index, void* out, int32_t outer, int32_t rows, int32_t count,
                           int32_t inner, int32_t element_size);
