// out[outer][count][row_bytes] = rows index[count] of x[outer][rows][row_bytes]: embedding, index, index_select.
// A negative index counts from the end; one that is out of range gives a row of zeros.
#pragma once

#include <stdint.h>

extern "C" void mcu_take_rows(const void* x, const int64_t* index, void* out, int32_t outer, int32_t rows,
                              int32_t count, int32_t row_bytes);
