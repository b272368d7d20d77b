#include "kernels/attention/attention_s8_dynamic_shaped.h"

#include "kernels/attention/attention.h"
#include "kernels/attention/shape_scores.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/attention_s8_dynamic_helium.h"
#else
#include "kernels/attention/attention_s8_dynamic_portable.h"
#endif

void mcu_attention_s8_dynamic_shaped(const float* q, const int8_t* k_cache, const int8_t* v_cache,
                                     const uint16_t* k_scales, const uint16_t* v_scales, const int64_t* position,
                                     const float* bias, const float* sinks, float* out, uint8_t* scratch, int32_t heads,
                                     int32_t groups, int32_t positions, int32_t n, float scale, float cap) {
    const int32_t visible = mcu_visible(*position, positions);
    const McuAttentionScratch s = mcu_attention_scratch(scratch, positions);
    for (int32_t head = 0; head < heads; ++head, q += n, out += n) {
        const int32_t group = head / (heads / groups);
        const int8_t* keys = k_cache + group * positions * n;         // [visible][n]
        const int8_t* values = v_cache + group * positions * n;       // [n][positions]
        const uint16_t* key_scales = k_scales + group * positions;    // [visible]
        const uint16_t* value_scales = v_scales + group * positions;  // [visible]

        mcu_scale_row(q, scale, out, n);
        const float query_scale = mcu_quantize_query(out, s.query, n);
        mcu_scores(s.query, keys, visible, n, s.scores, query_scale);
        scale_scores(s.scores, key_scales, visible);
        const float* added = mcu_bias_of(bias, head, positions, visible);
        const float highest = mcu_shape_scores(s.scores, added, cap, visible);
        float sum = 0.0f;
        const float greatest = weigh(s.scores, value_scales, visible, highest, sum);
        round_weights(s.scores, s.probabilities, visible, MCU_PROBABILITY_ONE / greatest);
        const float factor = (greatest / MCU_PROBABILITY_ONE) / (sum + mcu_sink_share(sinks, head, highest));
        mcu_weighted_sums(s.probabilities, values, positions, visible, n, out, factor);
    }
}
