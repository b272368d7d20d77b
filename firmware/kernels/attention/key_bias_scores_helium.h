// The rows of mcu_key_bias_scores on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

// out[i] = x[i] * factor.
static inline void scale_row(const float* x, float factor, float* out, int32_t n) {
    mcu_for_lanes(
        n, [=](int32_t i, auto lanes) { mcu_store(out + i, vmulq_n_f32(mcu_load(x + i, lanes), factor), lanes); });
}

// out[i] = x[i] * factor + out[i], rounded once.
static inline void add_scaled_row(const float* x, float factor, float* out, int32_t n) {
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        mcu_store(out + i, vfmaq_n_f32(mcu_load(out + i, lanes), mcu_load(x + i, lanes), factor), lanes);
    });
}
