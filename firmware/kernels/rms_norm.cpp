#include "kernels/rms_norm.h"

#include "kernels/math.h"
#include "kernels/math_helium.h"

void mcu_rms_norm(const float* x, const float* weight, float* out, int32_t rows, int32_t n, float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
#if defined(MCU_HELIUM_FLOAT)
        float32x4_t squares = vdupq_n_f32(0.0f);  // the four lanes of mcu_lane_sum_of_squares
        mcu_for_lanes(n, [&](int32_t i, auto lanes) {
            const float32x4_t part = mcu_load(x + i, lanes);  // zeros behind the end: they add nothing
            squares = vfmaq_f32(squares, part, part);
        });
        const float root = 1.0f / mcu_sqrtf(mcu_total_of_lanes(squares) / float(n) + eps);
        mcu_for_lanes(n, [=](int32_t i, auto lanes) {
            const float32x4_t scaled = vmulq_n_f32(mcu_load(x + i, lanes), root);
            mcu_store(out + i, vmulq_f32(scaled, mcu_load(weight + i, lanes)), lanes);
        });
#else
        const float root = 1.0f / mcu_sqrtf(mcu_lane_sum_of_squares(x, n, 0.0f) / float(n) + eps);
        for (int32_t i = 0; i < n; ++i) out[i] = (x[i] * root) * weight[i];
#endif
    }
}
