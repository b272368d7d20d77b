#include "kernels/attention/cache_write_columns.h"

#include "kernels/attention/cache_row.h"

void mcu_cache_write_columns(int8_t* cache, const float* x, const float* inverse_scale, const int64_t* position,
                             int32_t heads, int32_t positions, int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    cache += p;  // [n] of head 0, `positions` apart
    mcu_write_column(x, inverse_scale, cache, positions, heads * n);
}
