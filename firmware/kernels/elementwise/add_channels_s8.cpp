#include "kernels/elementwise/add_channels_s8.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/math/math_helium.h"

static inline void add_row(const float* sum, const int8_t* x, const float* scale, const float* offset, float* out,
                           int32_t n) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t value = vcvtq_f32_s32(mcu_next(x, lanes));
        const float32x4_t added = vfmaq_f32(mcu_next(offset, lanes), value, mcu_next(scale, lanes));
        mcu_put(out, vaddq_f32(mcu_next(sum, lanes), added), lanes);
    });
}
#else
static inline void add_row(const float* sum, const int8_t* x, const float* scale, const float* offset, float* out,
                           int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = sum[i] + mcu_fmaf(float(x[i]), scale[i], offset[i]);
}
#endif

void mcu_add_channels_s8(const float* sum, const int8_t* x, const float* scale, const float* offset, float* out,
                         int32_t rows, int32_t n) {
    for (int32_t i = 0; i < rows; ++i, sum += n, x += n, out += n) add_row(sum, x, scale, offset, out, n);
}
