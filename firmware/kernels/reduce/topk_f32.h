// The k greatest of each row of x[rows][n], the greatest first, and where they are; of equals the first, a NaN before
// all.
#pragma once

#include <stdint.h>

// values and indices [rows][k], 1 <= k <= n; neither may overlap x.
extern "C" void mcu_topk_f32(const float* x, float* values, int64_t* indices, int32_t rows, int32_t n, int32_t k);
