// Walking two operands that broadcast to one output.
#pragma once

#include <stdint.h>

// The most axes that are left after neighbours with the same strides have been joined.
constexpr int32_t kMcuBroadcastAxes = 6;

// Calls row(a, a_step, b, b_step, out, count) for each row of a contiguous output.
//
// shape holds `axes` sizes, then as many strides (in elements, 0 where an operand repeats) of a, then of b.
template <typename A, typename Out, typename Row>
static inline void mcu_broadcast_rows(const A* a, const A* b, Out* out, const int32_t* shape, int32_t axes, Row row) {
    const int32_t* a_strides = shape + axes;
    const int32_t* b_strides = a_strides + axes;
    int32_t index[kMcuBroadcastAxes] = {};
    const int32_t inner = shape[axes - 1];
    const int32_t a_step = a_strides[axes - 1];
    const int32_t b_step = b_strides[axes - 1];
    for (;;) {
        row(a, a_step, b, b_step, out, inner);
        out += inner;
        int32_t axis = axes - 2;
#pragma GCC unroll 1  // most outputs are one row
        for (; axis >= 0; --axis) {
            a += a_strides[axis];
            b += b_strides[axis];
            if (++index[axis] < shape[axis]) break;
            index[axis] = 0;
            a -= a_strides[axis] * shape[axis];
            b -= b_strides[axis] * shape[axis];
        }
        if (axis < 0) return;
    }
}

// Calls operation(a, b) for each element of a contiguous output. shape: as above.
template <typename A, typename Out, typename Operation>
static inline void mcu_broadcast(const A* a, const A* b, Out* out, const int32_t* shape, int32_t axes,
                                 Operation operation) {
    mcu_broadcast_rows(a, b, out, shape, axes,
                       [=](const A* x, int32_t x_step, const A* y, int32_t y_step, Out* row, int32_t count) {
                           for (int32_t i = 0; i < count; ++i) row[i] = operation(x[i * x_step], y[i * y_step]);
                       });
}
