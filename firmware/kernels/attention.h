// What the attention kernels share: the scratch, the quantized query, the sum of values.
#pragma once

#include <stdint.h>

#include "kernels/dot_s8.h"
#include "kernels/math.h"

// A probability of 1 as an integer, and the integer's type.
#define MCU_PROBABILITY_ONE 127.0f
typedef int8_t mcu_probability;

struct McuAttentionScratch {
    float* scores;                   // [positions]
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
    const float greatest = mcu_greatest_magnitude(q, n);
    const float inverse = 127.0f / greatest;
    for (int32_t i = 0; i < n; ++i) query[i] = int8_t(mcu_round_clamped(q[i] * inverse, -127, 127));
    return greatest / 127.0f;
}

// out[i] = float(sum over t of p[t] * values[t][i]) * scale, p[count], values[count][n]; exact in int32 for
// count <= 132,104. Sixteen channels at a time, so that each position's values are read in order.
static inline void mcu_weighted_sums(const mcu_probability* p, const int8_t* values, int32_t count, int32_t n,
                                     float* out, float scale) {
    int32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        int32_t sums[16] = {};
        for (int32_t t = 0; t < count; ++t) {
            const int8_t* row = values + t * n + i;
            for (int32_t j = 0; j < 16; ++j) sums[j] += int32_t(p[t]) * int32_t(row[j]);
        }
        for (int32_t j = 0; j < 16; ++j) out[i + j] = float(sums[j]) * scale;
    }
    for (; i < n; ++i) {
        int32_t sum = 0;
        for (int32_t t = 0; t < count; ++t) sum += int32_t(p[t]) * int32_t(values[t * n + i]);
        out[i] = float(sum) * scale;
    }
}
