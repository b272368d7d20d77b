// What the attention kernels share: the scratch, the quantized query, the products with keys and values.
//
// mcu_scale_row(x, scale, out, n): out[i] = x[i] * scale.
// mcu_scale_channels(x, factor, scale, out, n): out[i] = (x[i] * factor) * scale[i].
// mcu_quantize_query(q, query, n): q[n] to int8 with a scale of its own, which is returned.
// mcu_scores(query, keys, count, n, scores, scale): scores[t] = float(sum over i of query[i] * keys[t][i]) * scale,
// keys[count][n].
// mcu_weighted_sums(p, values, positions, count, n, out, scale): out[i] = float(sum over t of p[t] * values[i][t]) *
// scale, p[count], values[n][positions] of which the first `count` in each row are read; exact in int32 for count <=
// 132,104.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/attention_helium.h"
#else
#include "kernels/attention/attention_portable.h"
#endif

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
