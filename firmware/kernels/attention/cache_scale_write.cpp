#include "kernels/attention/cache_scale_write.h"

#include "kernels/quantize/row_s8.h"

void mcu_cache_scale_write(uint16_t* scales, const float* x, const int64_t* position, int32_t heads, int32_t positions,
                           int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    for (int32_t head = 0; head < heads; ++head, x += n) scales[head * positions + p] = mcu_row_scale(x, n);
}
