// lanes.h for cores without vectors.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

// out[i] = function(x[i]).
template <typename Function>
static inline void mcu_over_lanes(const float* x, float* out, int32_t n, Function function) {
    for (int32_t i = 0; i < n; ++i) out[i] = function(x[i]);
}

// out[i] = function(a[i], b[i]).
template <typename Function>
static inline void mcu_over_lanes(const float* a, const float* b, float* out, int32_t n, Function function) {
    for (int32_t i = 0; i < n; ++i) out[i] = function(a[i], b[i]);
}
