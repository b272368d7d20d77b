#include "kernels/attention/cache_write_columns_dynamic.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"
#include "kernels/quantize/row_s8.h"

void mcu_cache_write_columns_dynamic(int8_t* cache, const float* x, const int64_t* position, int32_t heads,
                                     int32_t positions, int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    cache += p;  // [n] of head 0, `positions` apart
    for (int32_t head = 0; head < heads; ++head, x += n, cache += positions * n) {
        const float inverse = 1.0f / mcu_from_half(mcu_row_scale(x, n));
#if defined(MCU_HELIUM_FLOAT)
        const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), uint32_t(positions));
        mcu_for_lanes(n, [=](int32_t i, auto lanes) {
            const float32x4_t scaled = vmulq_n_f32(mcu_load(x + i, lanes), inverse);
            mcu_scatter(cache + i * positions, offsets, mcu_round_clamped_lanes(scaled, -127, 127), lanes);
        });
#else
        for (int32_t i = 0; i < n; ++i) {
            cache[i * positions] = int8_t(mcu_round_clamped(x[i] * inverse, -127, 127));
        }
#endif
    }
}
