// kernels/attention/cache_row.h on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

template <typename Lanes>
static inline int32x4_t mcu_quantized(const float* x, const float* inverse, int32_t i, Lanes lanes) {
    return mcu_round_clamped_lanes(vmulq_f32(mcu_load(x + i, lanes), mcu_load(inverse + i, lanes)), -127, 127);
}

template <typename Lanes>
static inline int32x4_t mcu_quantized(const float* x, float inverse, int32_t i, Lanes lanes) {
    return mcu_round_clamped_lanes(vmulq_n_f32(mcu_load(x + i, lanes), inverse), -127, 127);
}

template <typename Inverse>
static inline void mcu_write_row(const float* x, Inverse inverse, int8_t* to, int32_t n) {
    mcu_for_lanes(n, [=](int32_t i, auto lanes) { mcu_store(to + i, mcu_quantized(x, inverse, i, lanes), lanes); });
}

template <typename Inverse>
static inline void mcu_write_column(const float* x, Inverse inverse, int8_t* to, int32_t step, int32_t n) {
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), uint32_t(step));
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        mcu_scatter(to + i * step, offsets, mcu_quantized(x, inverse, i, lanes), lanes);
    });
}
