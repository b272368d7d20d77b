// The scores of a cache that slides: its slots in three parts, each with a query that is rotated as far as they are
// from it (mcu_sdk/operators/reference/sliding_attention.py).
#pragma once

#include <stdint.h>

#include "kernels/attention/attention.h"

struct McuSliding {
    int32_t visible;  // slots that are attended to
    int32_t sinks;    // the first of these
    int32_t lap;      // where those of the lap before begin
};

static inline McuSliding mcu_sliding(int64_t position, int64_t slot, int32_t sinks, int32_t positions) {
    const int32_t visible = mcu_visible(position, positions);
    const int32_t kept = sinks < visible ? sinks : visible;
    const int32_t lap = slot < 0 ? 1 : slot < visible ? int32_t(slot) + 1 : visible;
    return {visible, kept, lap < kept ? kept : lap};
}

// scores[t] for the keys begin .. end - 1; `scaled`: the query as floats, [n].
static inline void mcu_scores_between(const float* scaled, const McuAttentionScratch& s, const int8_t* keys,
                                      int32_t begin, int32_t end, int32_t n) {
    if (begin == end) return;
    const float scale = mcu_quantize_query(scaled, s.query, n);
    mcu_scores(s.query, keys + begin * n, end - begin, n, s.scores + begin, scale);
}
