// The search of mcu_argmax_f32 on Helium.
#pragma once

#include <stdint.h>

#include "kernels/math/math_helium.h"

// Where the greatest of `count` values is that lie `step` apart.
static inline int32_t argmax_apart(const float* x, int32_t count, int32_t step) {
    int32_t best = 0;
    for (int32_t k = 0; k < count; ++k) {
        const float value = x[k * step];
        const float highest = x[best * step];
        if (value > highest || (value != value && highest == highest)) best = k;
    }
    return best;
}

// The same for values next to each other: four searches side by side, one for each lane.
static inline int32_t argmax_of_row(const float* x, int32_t count) {
    const float* next = x;
    float32x4_t most = vdupq_n_f32(-__builtin_inff());
    int32x4_t where = vreinterpretq_s32_u32(vidupq_n_u32(0, 1));
    int32x4_t place = where;
    uint32x4_t magnitude = vdupq_n_u32(0);  // the greatest, as bits without the sign: above infinity are NaNs
    for (int32_t turns = count >> 2; turns > 0; --turns) {
        const float32x4_t four = mcu_next(next, McuAllLanes{});
        const mve_pred16_t greater = vcmpgtq_f32(four, most);
        most = vpselq_f32(four, most, greater);
        where = vpselq_s32(place, where, greater);
        place = vaddq_n_s32(place, 4);
        magnitude = vmaxq_u32(magnitude, vshlq_n_u32(vreinterpretq_u32_f32(four), 1));
    }
    if (vmaxvq_u32(0, magnitude) > 0xFF000000u) return argmax_apart(x, count, 1);  // the first NaN wins

    float highest[4];
    int32_t places[4];
    vstrwq_f32(highest, most);
    vstrwq_s32(places, where);
    int32_t best = 0;
    for (int32_t j = 1; j < 4; ++j) {
        const bool first = highest[j] == highest[best] && places[j] < places[best];
        if (highest[j] > highest[best] || first) best = j;
    }
    int32_t found = places[best] < count ? places[best] : 0;
    for (int32_t k = count & ~3; k < count; ++k) {
        if (x[k] > x[found] || (x[k] != x[k] && x[found] == x[found])) found = k;
    }
    return found;
}

static inline int32_t argmax(const float* x, int32_t count, int32_t step) {
    return step == 1 ? argmax_of_row(x, count) : argmax_apart(x, count, step);
}
