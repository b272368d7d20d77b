// What the attention kernels share: the scratch, the quantized query, the products with keys and values.
//
// On Helium scores come in fours, and so do probabilities, with zeros behind them up to a multiple of 16.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention_helium.h"
#include "kernels/linear/dot_s8.h"
#include "kernels/quantize/row_s8.h"

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

// out[i] = x[i] * scale
static inline void mcu_scale_row(const float* x, float scale, float* out, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(
        n, [=](int32_t i, auto lanes) { mcu_store(out + i, vmulq_n_f32(mcu_load(x + i, lanes), scale), lanes); });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] * scale;
#endif
}

// q[n] to int8 with a scale of its own, which is returned; zeros follow up to a multiple of 16.
static inline float mcu_quantize_query(const float* q, int8_t* query, int32_t n) {
    const float greatest = mcu_row_magnitude(q, n);
#if defined(MCU_HELIUM_FLOAT)
    vst1q_s8(query + ((n - 1) & ~15), vdupq_n_s8(0));
#endif
    mcu_row_quantize(q, query, n, 127.0f / greatest);
    return greatest / 127.0f;
}

// out[i] = (x[i] * factor) * scale[i]
static inline void mcu_scale_channels(const float* x, float factor, const float* scale, float* out, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_load(x + i, lanes), factor);
        mcu_store(out + i, vmulq_f32(scaled, mcu_load(scale + i, lanes)), lanes);
    });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = (x[i] * factor) * scale[i];
#endif
}

// scores[t] = float(sum over i of query[i] * keys[t][i]) * scale, keys[count][n].
static inline void mcu_scores(const int8_t* query, const int8_t* keys, int32_t count, int32_t n, float* scores,
                              float scale) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_scores_x4(query, keys, count, n, scores, scale);
#else
    for (int32_t t = 0; t < count; ++t) scores[t] = float(mcu_dot_s8(query, keys + t * n, n)) * scale;
#endif
}

// out[i] = float(sum over t of p[t] * values[i][t]) * scale, p[count], values[n][positions] of which the first `count`
// in each row are read; exact in int32 for count <= 132,104.
static inline void mcu_weighted_sums(const mcu_probability* p, const int8_t* values, int32_t positions, int32_t count,
                                     int32_t n, float* out, float scale) {
    int32_t i = 0;
#if defined(MCU_HELIUM_FLOAT)
    i = n & ~3;
    if (i > 0) mcu_dots_s8_x4(p, values, positions, count, out, out + i, scale);
#endif
    for (; i < n; ++i) out[i] = float(mcu_dot_s8(p, values + i * positions, count)) * scale;
}
