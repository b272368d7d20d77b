// Rows index[count] of out[outer][rows][row_bytes] become x[outer][count][row_bytes]; the others stay: index_copy and
// index_put. A negative index counts from the end; a row whose index is out of range is left away.
#pragma once

#include <stdint.h>

extern "C" void mcu_put_rows(const void* x, const int64_t* index, void* out, int32_t outer, int32_t rows, int32_t count,
                             int32_t row_bytes);
