#include "kernels/conv/avg_pool2d_s8.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"
#include "kernels/quantize/clamp_to_s8.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/math/math_helium.h"
#endif

namespace {

struct Pool {
    const McuWindow& walk;
    const int8_t* x;
    int32_t zero_point;
    float scale;
};

// Adds up each of kCount channels from c on, one tap after the other; returns the taps.
template <int32_t kCount>
int32_t add_up(const Pool& pool, int32_t image, int32_t y, int32_t column, int32_t c, float* sums) {
    int32_t count = 0;
    for (int32_t i = 0; i < kCount; ++i) sums[i] = 0.0f;
    mcu_over_window(pool.walk, image, y, column, [&](int32_t from, int32_t) {
        for (int32_t i = 0; i < kCount; ++i) sums[i] += float(pool.x[from + c + i] - pool.zero_point) * pool.scale;
        ++count;
    });
    return count;
}

#if defined(MCU_HELIUM_FLOAT)
constexpr int32_t kMost = 16;

// sum + the four values at x, which are scaled.
inline float32x4_t add_four(float32x4_t sum, const int8_t* x, const Pool& pool) {
    const int32x4_t moved = vsubq_n_s32(vldrbq_s32(x), pool.zero_point);
    return vaddq_f32(sum, vmulq_n_f32(vcvtq_f32_s32(moved), pool.scale));
}

template <>
inline int32_t add_up<kMost>(const Pool& pool, int32_t image, int32_t y, int32_t column, int32_t c, float* sums) {
    int32_t count = 0;
    const Pool p = pool;
    float32x4_t s0 = vdupq_n_f32(0.0f), s1 = s0, s2 = s0, s3 = s0;
    mcu_over_window(p.walk, image, y, column, [&](int32_t from, int32_t) {
        const int8_t* const at = p.x + from + c;
        s0 = add_four(s0, at, p), s1 = add_four(s1, at + 4, p);
        s2 = add_four(s2, at + 8, p), s3 = add_four(s3, at + 12, p);
        ++count;
    });
    vst1q_f32(sums, s0), vst1q_f32(sums + 4, s1);
    vst1q_f32(sums + 8, s2), vst1q_f32(sums + 12, s3);
    return count;
}
#else
constexpr int32_t kMost = 4;
#endif

// The mean of kCount channels' sums over `count` taps, at the inputs' scale.
template <int32_t kCount>
void finish(const Pool& pool, const float* sums, int32_t count, int8_t* out) {
    for (int32_t i = 0; i < kCount; ++i) {
        const int32_t mean = count != 0 ? mcu_round_clamped(sums[i] / float(count) / pool.scale, -256, 256) : 0;
        out[i] = mcu_clamp_to_s8(mean, pool.zero_point, -128, 127);
    }
}

#if defined(MCU_HELIUM_FLOAT)
template <>
inline void finish<kMost>(const Pool& pool, const float* sums, int32_t count, int8_t* out) {
    const float32x4_t taps = vdupq_n_f32(count != 0 ? float(count) : 1.0f), scale = vdupq_n_f32(pool.scale);
#pragma GCC unroll 1
    for (int32_t i = 0; i < kMost; i += 4) {  // sums over no taps are 0
        const float32x4_t mean = mcu_divide(mcu_divide(vldrwq_f32(sums + i), taps), scale);
        const int32x4_t value = vaddq_n_s32(mcu_round_clamped_lanes(mean, -256, 256), pool.zero_point);
        vstrbq_s32(out + i, vmaxq_s32(vminq_s32(value, vdupq_n_s32(127)), vdupq_n_s32(-128)));
    }
}
#endif

}  // namespace

void mcu_avg_pool2d_s8(const int8_t* x, int8_t* out, const McuWindow* window, int32_t zero_point, float scale) {
    const McuWindow walk = *window;
    const Pool pool = {walk, x, zero_point, scale};
    mcu_over_output(walk, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        for (int32_t c = 0, some = 0; c < walk.channels; c += some) {  // some channels share the way over the window
            float sums[kMost];
            some = walk.channels - c >= kMost ? kMost : 1;
            int8_t* const to = out + pixel + c;
            if (some == kMost) {
                finish<kMost>(pool, sums, add_up<kMost>(pool, image, y, column, c, sums), to);
            } else {
                finish<1>(pool, sums, add_up<1>(pool, image, y, column, c, sums), to);
            }
        }
    });
}
