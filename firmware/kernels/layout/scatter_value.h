// out[o][index[o][i][j]][j] = *value for out[outer][rows][inner] and index[outer][count][inner]; the rest of out stays.
// A negative index counts from the end; one that is out of range does nothing.
#pragma once

#include <stdint.h>

extern "C" void mcu_scatter_value(const void* value, const int64_t* index, void* out, int32_t outer, int32_t rows,
                                  int32_t count, int32_t inner, int32_t element_size);
