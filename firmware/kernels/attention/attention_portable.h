// kernels/attention/attention.h in plain C++.
#pragma once

#include <stdint.h>

#include "kernels/linear/dot_s8.h"
#include "kernels/quantize/row_s8.h"

static inline void mcu_scale_row(const float* x, float scale, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] * scale;
}

static inline void mcu_scale_channels(const float* x, float factor, const float* scale, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = (x[i] * factor) * scale[i];
}

static inline float mcu_quantize_query(const float* q, int8_t* query, int32_t n) {
    const float greatest = mcu_row_magnitude(q, n);
    mcu_row_quantize(q, query, n, 127.0f / greatest);
    return greatest / 127.0f;
}

static inline void mcu_scores(const int8_t* query, const int8_t* keys, int32_t count, int32_t n, float* scores,
                              float scale) {
    for (int32_t t = 0; t < count; ++t) scores[t] = float(mcu_dot_s8(query, keys + t * n, n)) * scale;
}

static inline void mcu_weighted_sums(const int8_t* p, const int8_t* values, int32_t positions, int32_t count, int32_t n,
                                     float* out, float scale) {
    for (int32_t i = 0; i < n; ++i) out[i] = float(mcu_dot_s8(p, values + i * positions, count)) * scale;
}
