// The last part of mcu_layer_norm_s16 in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

// out[i] = clamp(rint(fma((x[i] - mean) * root, weight[i], bias[i]))).
static inline void apply_to_s16(const float* x, float mean, float root, const float* weight, const float* bias,
                                int16_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) {
        const float value = mcu_fmaf((x[i] - mean) * root, weight[i], bias[i]);
        out[i] = int16_t(mcu_round_clamped(value, INT16_MIN, INT16_MAX));
    }
}
