#include "kernels/norm/rms_norm.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

#if defined(MCU_HELIUM_FLOAT)
static float sum_of_squares(const float* x, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t part = mcu_next(x, lanes);  // zeros behind the end: they add nothing
        sums = vfmaq_f32(sums, part, part);
    });
    return mcu_total_of_lanes(sums);
}

static void apply(const float* x, float root, const float* weight, float* out, int32_t n) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_next(x, lanes), root);
        mcu_put(out, vmulq_f32(scaled, mcu_next(weight, lanes)), lanes);
    });
}
#else
static float sum_of_squares(const float* x, int32_t n) { return mcu_lane_sum_of_squares(x, n, 0.0f); }

static void apply(const float* x, float root, const float* weight, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = (x[i] * root) * weight[i];
}
#endif

void mcu_rms_norm(const float* x, const float* weight, float* out, int32_t rows, int32_t n, float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        const float root = 1.0f / mcu_sqrtf(sum_of_squares(x, n) / float(n) + eps);
        apply(x, root, weight, out, n);
    }
}
