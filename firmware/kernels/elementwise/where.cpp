#include "kernels/elementwise/where.h"

#include "kernels/elementwise/broadcast.h"
#include "kernels/elementwise/element.h"

template <typename T>
static inline void where(const bool* condition, const T* a, const T* b, T* out, const int32_t* shape, int32_t axes) {
    const auto* choice = mcu_stored(condition);
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

void mcu_where_f32(const bool* condition, const float* a, const float* b, float* out, const int32_t* shape,
                   int32_t axes) {
    where(condition, a, b, out, shape, axes);
}

void mcu_where_s8(const bool* condition, const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape,
                  int32_t axes) {
    where(condition, a, b, out, shape, axes);
}

void mcu_where_s32(const bool* condition, const int32_t* a, const int32_t* b, int32_t* out, const int32_t* shape,
                   int32_t axes) {
    where(condition, a, b, out, shape, axes);
}

void mcu_where_s64(const bool* condition, const int64_t* a, const int64_t* b, int64_t* out, const int32_t* shape,
                   int32_t axes) {
    where(condition, a, b, out, shape, axes);
}
