// lanes.h for Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

// out[i] = function(x[i]), function being one of vectors of four.
template <typename Function>
static inline void mcu_over_lanes(const float* x, float* out, int32_t n, Function function) {
    mcu_for_lanes(n, [=](int32_t i, auto lanes) { mcu_store(out + i, function(mcu_load(x + i, lanes)), lanes); });
}

// out[i] = function(a[i], b[i]), likewise.
template <typename Function>
static inline void mcu_over_lanes(const float* a, const float* b, float* out, int32_t n, Function function) {
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        mcu_store(out + i, function(mcu_load(a + i, lanes), mcu_load(b + i, lanes)), lanes);
    });
}
