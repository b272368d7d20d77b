// Choosing between two tensors; the three operands broadcast to one output.
#pragma once

#include <stdint.h>

#include "kernels/elementwise/broadcast.h"

// shape holds `axes` sizes, then as many strides (in elements, 0 where an operand repeats) of condition, a and b.
template <typename T>
static inline void mcu_where(const bool* condition, const T* a, const T* b, T* out, const int32_t* shape,
                             int32_t axes) {
    const auto* choice = reinterpret_cast<const uint8_t*>(condition);  // of a corrupt model, no valid bools
    const int32_t* strides = shape + axes;
    const int32_t inner = shape[axes - 1];
    int32_t index[kMcuBroadcastAxes] = {};
    int32_t at[3] = {};
    for (;;) {
        for (int32_t i = 0; i < inner; ++i) {
            const int32_t c = at[0] + i * strides[axes - 1];
            const int32_t x = at[1] + i * strides[2 * axes - 1];
            const int32_t y = at[2] + i * strides[3 * axes - 1];
            out[i] = choice[c] != 0 ? a[x] : b[y];
        }
        out += inner;
        int32_t axis = axes - 2;
        for (; axis >= 0; --axis) {
            for (int32_t which = 0; which < 3; ++which) at[which] += strides[which * axes + axis];
            if (++index[axis] < shape[axis]) break;
            index[axis] = 0;
            for (int32_t which = 0; which < 3; ++which) at[which] -= strides[which * axes + axis] * shape[axis];
        }
        if (axis < 0) return;
    }
}
