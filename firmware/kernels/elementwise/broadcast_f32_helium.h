// kernels/elementwise/broadcast_f32.h on Helium.
#pragma once

#include <stdint.h>

#include "kernels/elementwise/broadcast.h"
#include "kernels/math/math_helium.h"

// A row of mcu_broadcast_f32; steps of 0 and 1 go four at a time.
template <typename Operation>
static inline void mcu_broadcast_row_f32(const float* a, int32_t a_step, const float* b, int32_t b_step, float* out,
                                         int32_t count, Operation operation) {
    if (a_step == 1 && b_step == 1) {
        mcu_walk_lanes(count, [&](auto lanes) {
            const float32x4_t x = mcu_next(a, lanes);
            mcu_put(out, operation(x, mcu_next(b, lanes)), lanes);
        });
    } else if (a_step == 1 && b_step == 0) {
        const float32x4_t y = vdupq_n_f32(*b);
        mcu_walk_lanes(count, [&](auto lanes) { mcu_put(out, operation(mcu_next(a, lanes), y), lanes); });
    } else {
        for (int32_t i = 0; i < count; ++i) out[i] = operation(a[i * a_step], b[i * b_step]);
    }
}

template <typename Operation>
static inline void mcu_broadcast_f32(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes,
                                     Operation operation) {
    mcu_broadcast_rows(a, b, out, shape, axes,
                       [=](const float* x, int32_t x_step, const float* y, int32_t y_step, float* row, int32_t count) {
                           mcu_broadcast_row_f32(x, x_step, y, y_step, row, count, operation);
                       });
}
