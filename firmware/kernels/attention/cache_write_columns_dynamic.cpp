#include "kernels/attention/cache_write_columns_dynamic.h"

#include "kernels/attention/cache_row.h"
#include "kernels/math/math.h"
#include "kernels/quantize/row_s8.h"

void mcu_cache_write_columns_dynamic(int8_t* cache, const float* x, const int64_t* position, int32_t heads,
                                     int32_t positions, int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    cache += p;  // [n] of head 0, `positions` apart
    for (int32_t head = 0; head < heads; ++head, x += n, cache += positions * n) {
        const float inverse = 1.0f / mcu_from_half(mcu_row_scale(x, n));
        mcu_write_column(x, inverse, cache, positions, n);
    }
}
