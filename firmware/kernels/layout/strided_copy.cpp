#include "kernels/layout/strided_copy.h"

#include <string.h>

#include "kernels/elementwise/broadcast.h"

namespace {

template <typename T>
void copy_run(const uint8_t* from, uint8_t* to, int32_t n, int32_t from_step, int32_t to_step) {
    const T* source = reinterpret_cast<const T*>(from);
    T* target = reinterpret_cast<T*>(to);
    for (int32_t i = 0; i < n; ++i) target[i * to_step] = source[i * from_step];
}

}  // namespace

void mcu_strided_copy(const void* from, void* to, const int32_t* table, int32_t axes, int32_t element_size) {
    const int32_t* from_strides = table + axes;
    const int32_t* to_strides = from_strides + axes;
    const int32_t inner = table[axes - 1];
    const int32_t from_step = from_strides[axes - 1];
    const int32_t to_step = to_strides[axes - 1];
    const auto* source = static_cast<const uint8_t*>(from);
    auto* target = static_cast<uint8_t*>(to);
    int32_t index[kMcuBroadcastAxes] = {};
    for (;;) {
        if (from_step == 1 && to_step == 1) {
            memcpy(target, source, size_t(inner) * size_t(element_size));
        } else if (element_size == 1) {
            copy_run<uint8_t>(source, target, inner, from_step, to_step);
        } else if (element_size == 2) {
            copy_run<uint16_t>(source, target, inner, from_step, to_step);
        } else if (element_size == 4) {
            copy_run<uint32_t>(source, target, inner, from_step, to_step);
        } else {
            copy_run<uint64_t>(source, target, inner, from_step, to_step);
        }
        int32_t axis = axes - 2;
        for (; axis >= 0; --axis) {
            source += from_strides[axis] * element_size;
            target += to_strides[axis] * element_size;
            if (++index[axis] < table[axis]) break;
            index[axis] = 0;
            source -= from_strides[axis] * table[axis] * element_size;
            target -= to_strides[axis] * table[axis] * element_size;
        }
        if (axis < 0) return;
    }
}
