#include "kernels/layout/strided_copy.h"

#include "kernels/elementwise/broadcast.h"
#include "kernels/layout/copy_bytes.h"

namespace {

// The last two axes of the walks: `rows` runs of n elements. Steps in elements.
struct Runs {
    int32_t rows, n;
    int32_t from_row, to_row, from_step, to_step;
};

template <typename T>
void copy_runs(const uint8_t* from, uint8_t* to, const Runs& runs) {
    for (int32_t row = 0; row < runs.rows; ++row) {
        const T* source = reinterpret_cast<const T*>(from) + row * runs.from_row;
        T* target = reinterpret_cast<T*>(to) + row * runs.to_row;
        for (int32_t i = 0; i < runs.n; ++i) target[i * runs.to_step] = source[i * runs.from_step];
    }
}

void copy_runs(const uint8_t* from, uint8_t* to, const Runs& runs, int32_t element_size) {
    if (runs.from_step == 1 && runs.to_step == 1) {
        const int32_t from_row = runs.from_row * element_size, to_row = runs.to_row * element_size;
        for (int32_t row = 0; row < runs.rows; ++row, from += from_row, to += to_row) {
            mcu_copy_bytes(from, to, runs.n * element_size);
        }
    } else if (element_size == 1) {
        copy_runs<uint8_t>(from, to, runs);
    } else if (element_size == 2) {
        copy_runs<uint16_t>(from, to, runs);
    } else if (element_size == 4) {
        copy_runs<uint32_t>(from, to, runs);
    } else {
        copy_runs<uint64_t>(from, to, runs);
    }
}

}  // namespace

void mcu_strided_copy(const void* from, void* to, const int32_t* table, int32_t axes, int32_t element_size) {
    const int32_t* from_strides = table + axes;
    const int32_t* to_strides = from_strides + axes;
    Runs runs = {1, table[axes - 1], 0, 0, from_strides[axes - 1], to_strides[axes - 1]};
    if (axes >= 2) {
        runs.rows = table[axes - 2];
        runs.from_row = from_strides[axes - 2];
        runs.to_row = to_strides[axes - 2];
    }
    const auto* source = static_cast<const uint8_t*>(from);
    auto* target = static_cast<uint8_t*>(to);
    int32_t index[kMcuBroadcastAxes] = {};
    for (;;) {
        copy_runs(source, target, runs, element_size);
        int32_t axis = axes - 3;
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
