// kernels/elementwise/broadcast_f32.h in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/elementwise/broadcast.h"

template <typename Operation>
static inline void mcu_broadcast_f32(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes,
                                     Operation operation) {
    mcu_broadcast(a, b, out, shape, axes, operation);
}
