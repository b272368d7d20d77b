#include "kernels/attention/cache_write.h"

#include "kernels/attention/cache_row.h"

void mcu_cache_write(int8_t* cache, const float* x, const float* inverse_scale, const int64_t* position, int32_t heads,
                     int32_t positions, int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    cache += p * n;  // [n] of head 0
    for (int32_t head = 0; head < heads; ++head, x += n, inverse_scale += n, cache += positions * n) {
        mcu_write_row(x, inverse_scale, cache, n);
    }
}
