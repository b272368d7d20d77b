#include "kernels/norm/softmax_f32.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

#if defined(MCU_HELIUM_FLOAT)
static float greatest(const float* x, int32_t n) {
    if (*x != *x) return *x;  // what the comparisons of the portable kernel cannot get away from
    float32x4_t most = vdupq_n_f32(*x);
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t four = mcu_next(x, lanes);
        most = mcu_max(most, four, lanes);
    });
    return vmaxnmvq_f32(-__builtin_inff(), most);
}

// out = e^(x - highest), 0 where that is below e^-86; returns its lane sum.
static float exponentiate(const float* x, float highest, float* out, int32_t n) {
    float32x4_t sums = vdupq_n_f32(0.0f);
    mcu_for_lanes(n, [&](int32_t i, auto lanes) {
        const float32x4_t difference = vsubq_n_f32(mcu_load(x + i, lanes), highest);
        const float32x4_t power = mcu_exp_lanes_below(difference);
        // "Greater" is false for NaNs; "less" would be true for them. Clang 19 exchanges the sides of a comparison with
        // a constant all the same, so the constant is hidden from it.
        float32x4_t least = vdupq_n_f32(-86.0f);
        asm("" : "+w"(least));
        const mve_pred16_t none = vcmpgtq_f32(least, difference);
        const float32x4_t e = vpselq_f32(vdupq_n_f32(0.0f), power, none);
        sums = mcu_add(sums, e, lanes);
        mcu_store(out + i, e, lanes);
    });
    return mcu_total_of_lanes(sums);
}

static void divide(float* out, float sum, int32_t n) {
    const float32x4_t divisor = vdupq_n_f32(sum);
    mcu_for_lanes(
        n, [=](int32_t i, auto lanes) { mcu_store(out + i, mcu_divide(mcu_load(out + i, lanes), divisor), lanes); });
}
#else
static float greatest(const float* x, int32_t n) {
    float highest = x[0];
    for (int32_t i = 1; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
    return highest;
}

static float exponentiate(const float* x, float highest, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) {
        const float difference = x[i] - highest;
        out[i] = difference < -86.0f ? 0.0f : mcu_expf(difference);
    }
    return mcu_lane_sum(out, n);
}

static void divide(float* out, float sum, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = out[i] / sum;
}
#endif

void mcu_softmax_f32(const float* x, float* out, int32_t rows, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        float highest = greatest(x, n);
        // A row that is masked everywhere has no finite maximum: all are alike then.
        if (highest < -3.0e38f) highest = -3.0e38f;
        divide(out, exponentiate(x, highest, out, n), n);
    }
}
