// What the attention kernels share: the scratch, the quantized query, the sum of values.
#pragma once

#include <stdint.h>

#include "kernels/dots_s8.h"
#include "kernels/math.h"
#include "kernels/math_helium.h"

// A probability of 1 as an integer, and the integer's type.
#define MCU_PROBABILITY_ONE 127.0f
typedef int8_t mcu_probability;

struct McuAttentionScratch {
    float* scores;                   // [positions]; int32 dot products before
    mcu_probability* probabilities;  // [positions]
    int8_t* query;                   // [n]
};

// The three parts of the scratch; each begins at a multiple of 16 bytes.
static inline McuAttentionScratch mcu_attention_scratch(uint8_t* scratch, int32_t positions) {
    const uint32_t padded = (uint32_t(positions) + 15u) & ~15u;
    const uint32_t scores = (uint32_t(positions) * sizeof(float) + 15u) & ~15u;
    mcu_probability* probabilities = reinterpret_cast<mcu_probability*>(scratch + scores);
    return {reinterpret_cast<float*>(scratch), probabilities,
            reinterpret_cast<int8_t*>(scratch + scores + padded * sizeof(mcu_probability))};
}

// How many positions of the cache are attended to; a position outside counts as the nearest inside.
static inline int32_t mcu_visible(int64_t position, int32_t positions) {
    if (position < 0) return 1;
    return position < positions ? int32_t(position) + 1 : positions;
}

// q[n] to int8 with a scale of its own, which is returned.
static inline float mcu_quantize_query(const float* q, int8_t* query, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    const float found = mcu_greatest_of(q, n);
    const float greatest = found > MCU_TINY ? found : 1.0f;
    const float inverse = 127.0f / greatest;
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_load(q + i, lanes), inverse);
        mcu_store(query + i, mcu_round_clamped_lanes(scaled, -127, 127), lanes);
    });
#else
    const float greatest = mcu_greatest_magnitude(q, n);
    const float inverse = 127.0f / greatest;
    for (int32_t i = 0; i < n; ++i) query[i] = int8_t(mcu_round_clamped(q[i] * inverse, -127, 127));
#endif
    return greatest / 127.0f;
}

// sums[i] = sum over t of p[t] * values[i][t], p[count], values[n] rows that are `positions` apart; exact in int32 for
// count <= 132,104. `sums` may be the memory of floats that are not read any more.
static inline void mcu_weighted_sums(const mcu_probability* p, const int8_t* values, int32_t positions, int32_t count,
                                     int32_t n, int32_t* sums) {
    mcu_dots_s8(p, values, positions, count, sums, n);
    asm volatile("" ::: "memory");
}
