#include "kernels/attention/cache_write_columns.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

void mcu_cache_write_columns(int8_t* cache, const float* x, const float* inverse_scale, const int64_t* position,
                             int32_t heads, int32_t positions, int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    cache += p;  // [n] of head 0, `positions` apart
    const int32_t count = heads * n;
#if defined(MCU_HELIUM_FLOAT)
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), uint32_t(positions));
    mcu_for_lanes(count, [=](int32_t i, auto lanes) {
        const float32x4_t scaled = vmulq_f32(mcu_load(x + i, lanes), mcu_load(inverse_scale + i, lanes));
        mcu_scatter(cache + i * positions, offsets, mcu_round_clamped_lanes(scaled, -127, 127), lanes);
    });
#else
    for (int32_t i = 0; i < count; ++i) {
        cache[i * positions] = int8_t(mcu_round_clamped(x[i] * inverse_scale[i], -127, 127));
    }
#endif
}
