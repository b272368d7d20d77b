#include "kernels/norm/layer_norm.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

#if defined(MCU_HELIUM_FLOAT)
static float lane_sum(const float* x, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) { sums = vaddq_f32(sums, mcu_next(x, lanes)); });  // zeros behind the end
    return mcu_total_of_lanes(sums);
}

static float lane_sum_of_squares(const float* x, int32_t n, float mean) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t centred = vsubq_n_f32(mcu_next(x, lanes), mean);
        sums = mcu_fma(sums, centred, centred, lanes);
    });
    return mcu_total_of_lanes(sums);
}

static void apply(const float* x, float mean, float root, const float* weight, const float* bias, float* out,
                  int32_t n) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(vsubq_n_f32(mcu_next(x, lanes), mean), root);
        mcu_put(out, vfmaq_f32(mcu_next(bias, lanes), scaled, mcu_next(weight, lanes)), lanes);
    });
}
#else
static float lane_sum(const float* x, int32_t n) { return mcu_lane_sum(x, n); }

static float lane_sum_of_squares(const float* x, int32_t n, float mean) { return mcu_lane_sum_of_squares(x, n, mean); }

static void apply(const float* x, float mean, float root, const float* weight, const float* bias, float* out,
                  int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_fmaf((x[i] - mean) * root, weight[i], bias[i]);
}
#endif

void mcu_layer_norm(const float* x, const float* weight, const float* bias, float* out, int32_t rows, int32_t n,
                    float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        const float mean = lane_sum(x, n) / float(n);
        const float root = 1.0f / mcu_sqrtf(lane_sum_of_squares(x, n, mean) / float(n) + eps);
        apply(x, mean, root, weight, bias, out, n);
    }
}
