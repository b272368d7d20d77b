// The last part of mcu_layer_norm_s16 on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

// out[i] = clamp(rint(fma((x[i] - mean) * root, weight[i], bias[i]))).
static inline void apply_to_s16(const float* x, float mean, float root, const float* weight, const float* bias,
                                int16_t* out, int32_t n) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(vsubq_n_f32(mcu_next(x, lanes), mean), root);
        const float32x4_t value = vfmaq_f32(mcu_next(bias, lanes), scaled, mcu_next(weight, lanes));
        mcu_put(out, mcu_round_to_halfwords(value), lanes);
    });
}
