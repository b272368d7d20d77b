#include "kernels/elementwise/add_s16.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/math/math_helium.h"

void mcu_add_s16(const float* x, const int16_t* y, float* out, int32_t n, float scale) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t added = vcvtq_f32_s32(mcu_next(y, lanes));
        mcu_put(out, vfmaq_n_f32(mcu_next(x, lanes), added, scale), lanes);
    });
}
#else
void mcu_add_s16(const float* x, const int16_t* y, float* out, int32_t n, float scale) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_fmaf(float(y[i]), scale, x[i]);
}
#endif
