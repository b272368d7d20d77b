#include "kernels/attention/cache_write_columns_dynamic.h"

#include "kernels/attention/cache_row.h"
#include "kernels/quantize/row_s8.h"

void mcu_cache_write_columns_dynamic(int8_t* cache, const float* x, const int64_t* position, int32_t heads,
                                     int32_t positions, int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    cache += p;  // [n] of head 0, `positions` apart
    for (int32_t head = 0; head < heads; ++head, x += n, cache += positions * n) {
        mcu_write_column(x, mcu_row_inverse_scale(x, n), cache, positions, n);
    }
}
