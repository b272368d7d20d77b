#include "kernels/attention/attention_s8_dynamic_sliding.h"

#include "kernels/attention/attention.h"
#include "kernels/attention/shape_scores.h"
#include "kernels/attention/sliding.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/attention_s8_dynamic_helium.h"
#else
#include "kernels/attention/attention_s8_dynamic_portable.h"
#endif

void mcu_attention_s8_dynamic_sliding(const float* q, const float* q_sinks, const float* q_before,
                                      const int8_t* k_cache, const int8_t* v_cache, const uint16_t* k_scales,
                                      const uint16_t* v_scales, const int64_t* position, const int64_t* slot,
                                      float* out, uint8_t* scratch, int32_t heads, int32_t groups, int32_t positions,
                                      int32_t n, int32_t sinks, float scale, float cap) {
    const McuSliding part = mcu_sliding(*position, *slot, sinks, positions);
    const McuAttentionScratch s = mcu_attention_scratch(scratch, positions);
    for (int32_t head = 0; head < heads; ++head, q += n, q_sinks += n, q_before += n, out += n) {
        const int32_t group = head / (heads / groups);
        const int8_t* keys = k_cache + group * positions * n;         // [visible][n]
        const int8_t* values = v_cache + group * positions * n;       // [n][positions]
        const uint16_t* key_scales = k_scales + group * positions;    // [visible]
        const uint16_t* value_scales = v_scales + group * positions;  // [visible]

        mcu_scale_row(q_sinks, scale, out, n);
        mcu_scores_between(out, s, keys, 0, part.sinks, n);
        mcu_scale_row(q, scale, out, n);
        mcu_scores_between(out, s, keys, part.sinks, part.lap, n);
        mcu_scale_row(q_before, scale, out, n);
        mcu_scores_between(out, s, keys, part.lap, part.visible, n);
        float highest = scale_scores(s.scores, key_scales, part.visible);
        if (cap > 0.0f) highest = mcu_shape_scores(s.scores, nullptr, cap, part.visible);
        float sum = 0.0f;
        const float greatest = weigh(s.scores, value_scales, part.visible, highest, sum);
        round_weights(s.scores, s.probabilities, part.visible, MCU_PROBABILITY_ONE / greatest);
        const float factor = (greatest / MCU_PROBABILITY_ONE) / sum;
        mcu_weighted_sums(s.probabilities, values, positions, part.visible, n, out, factor);
    }
}
