// Walking two operands that broadcast to one output.
#pragma once

#include <stdint.h>

// The most axes that are left after neighbours with the same strides have been joined.
constexpr int32_t kMcuBroadcastAxes = 6;

// Calls operation(a, b) for each element of a contiguous output.
//
// shape holds `axes` sizes, then as many strides (in elements, 0 where an operand repeats) of a, then of b.
template <typename A, typename Out, typename Operation>
static inline void mcu_broadcast(const A* a, const A* b, Out* out, const int32_t* shape, int32_t axes,
                                 Operation operation) {
    const int32_t* a_strides = shape + axes;
    const int32_t* b_strides = a_strides + axes;
    int32_t index[kMcuBroadcastAxes] = {};
    const int32_t inner = shape[axes - 1];
    const int32_t a_step = a_strides[axes - 1];
    const int32_t b_step = b_strides[axes - 1];
    for (;;) {
        for (int32_t i = 0; i < inner; ++i) out[i] = operation(a[i * a_step], b[i * b_step]);
        out += inner;
        int32_t axis = axes - 2;
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
