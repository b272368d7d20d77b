#include "kernels/attention/cache_write.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

void mcu_cache_write(int8_t* cache, const float* x, const float* inverse_scale, const int64_t* position, int32_t heads,
                     int32_t positions, int32_t n) {
    const int64_t p = *position;
    if (p < 0 || p >= positions) return;
    cache += p * n;  // [n] of head 0
    for (int32_t head = 0; head < heads; ++head, x += n, inverse_scale += n, cache += positions * n) {
#if defined(MCU_HELIUM_FLOAT)
        mcu_for_lanes(n, [=](int32_t i, auto lanes) {
            const float32x4_t scaled = vmulq_f32(mcu_load(x + i, lanes), mcu_load(inverse_scale + i, lanes));
            mcu_store(cache + i, mcu_round_clamped_lanes(scaled, -127, 127), lanes);
        });
#else
        for (int32_t i = 0; i < n; ++i) {
            cache[i] = int8_t(mcu_round_clamped(x[i] * inverse_scale[i], -127, 127));
        }
#endif
    }
}
