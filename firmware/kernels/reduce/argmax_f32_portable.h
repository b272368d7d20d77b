// The search of mcu_argmax_f32 in plain C++.
#pragma once

#include <stdint.h>

// Where the greatest of `count` values is that lie `step` apart.
static inline int32_t argmax(const float* x, int32_t count, int32_t step) {
    int32_t best = 0;
    for (int32_t k = 0; k < count; ++k) {
        const float value = x[k * step];
        const float highest = x[best * step];
        if (value > highest || (value != value && highest == highest)) best = k;
    }
    return best;
}
