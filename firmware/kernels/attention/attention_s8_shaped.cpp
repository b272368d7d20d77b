#include "kernels/attention/attention_s8_shaped.h"

#include "kernels/attention/attention.h"
#include "kernels/attention/shape_scores.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/attention_s8_helium.h"
#else
#include "kernels/attention/attention_s8_portable.h"
#endif

void mcu_attention_s8_shaped(const float* q, const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                             const float* v_scale, const int64_t* position, const float* bias, const float* sinks,
                             float* out, uint8_t* scratch, int32_t heads, int32_t groups, int32_t positions, int32_t n,
                             float scale, float cap) {
    const int32_t visible = mcu_visible(*position, positions);
    const McuAttentionScratch s = mcu_attention_scratch(scratch, positions);
    for (int32_t head = 0; head < heads; ++head, q += n, out += n) {
        const int32_t group = head / (heads / groups);
        const int8_t* keys = k_cache + group * positions * n;    // [visible][n]
        const int8_t* values = v_cache + group * positions * n;  // [n][positions]

        mcu_scale_channels(q, scale, k_scale + group * n, out, n);
        const float query_scale = mcu_quantize_query(out, s.query, n);
        mcu_scores(s.query, keys, visible, n, s.scores, query_scale);
        const float* added = mcu_bias_of(bias, head, positions, visible);
        const float highest = mcu_shape_scores(s.scores, added, cap, visible);
        const float share = mcu_sink_share(sinks, head, highest) * MCU_PROBABILITY_ONE;
        const float sum = float(exponentiate(s.scores, s.probabilities, visible)) + share;
        mcu_weighted_sums(s.probabilities, values, positions, visible, n, out, 1.0f / sum);
        mcu_scale_channels(out, 1.0f, v_scale + group * n, out, n);
    }
}
