#include "kernels/layout/embedding_s8_add.h"

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/math/math_helium.h"

static inline void add_scaled(float* x, const int8_t* row, float scale, int32_t n) {
    const float* from = x;
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t added = vmulq_n_f32(vcvtq_f32_s32(mcu_next(row, lanes)), scale);
        mcu_put(x, vaddq_f32(mcu_next(from, lanes), added), lanes);
    });
}
#else
static inline void add_scaled(float* x, const int8_t* row, float scale, int32_t n) {
    for (int32_t i = 0; i < n; ++i) x[i] += float(row[i]) * scale;
}
#endif

void mcu_embedding_s8_add(float* x, const int8_t* weight, const float* scale, const int64_t* ids, int32_t count,
                          int32_t vocabulary, int32_t n) {
    for (int32_t i = 0; i < count; ++i, x += n) {
        const int64_t id = ids[i];
        if (id >= 0 && id < vocabulary) add_scaled(x, weight + id * n, scale[id], n);
    }
}
