#include "kernels/attention_s8_dynamic.h"

#include "kernels/attention.h"

void mcu_attention_s8_dynamic(const float* q, const int8_t* k_cache, const int8_t* v_cache, const uint16_t* k_scales,
                              const uint16_t* v_scales, const int64_t* position, float* out, uint8_t* scratch,
                              int32_t heads, int32_t groups, int32_t positions, int32_t n, float scale) {
    const int32_t visible = mcu_visible(*position, positions);
    const McuAttentionScratch s = mcu_attention_scratch(scratch, positions);
    for (int32_t head = 0; head < heads; ++head, q += n, out += n) {
        const int32_t group = head / (heads / groups);
        const int8_t* keys = k_cache + group * positions * n;         // [visible][n]
        const int8_t* values = v_cache + group * n * positions;       // [n][visible]
        const uint16_t* key_scales = k_scales + group * positions;    // [visible]
        const uint16_t* value_scales = v_scales + group * positions;  // [visible]

        for (int32_t i = 0; i < n; ++i) out[i] = q[i] * scale;
        const float query_scale = mcu_quantize_query(out, s.query, n);

        float highest = -__builtin_inff();
        for (int32_t t = 0; t < visible; ++t) {
            const float dot = float(mcu_dot_s8(s.query, keys + t * n, n));
            const float score = (dot * query_scale) * mcu_from_half(key_scales[t]);
            s.scores[t] = score;
            highest = score > highest ? score : highest;
        }

        // The values' scales go into the weights; the sum of probabilities is of the weights without them.
        for (int32_t t = 0; t < visible; ++t) s.scores[t] = mcu_expf(s.scores[t] - highest);
        const float sum = mcu_lane_sum(s.scores, visible);
        float greatest = 0.0f;
        for (int32_t t = 0; t < visible; ++t) {
            const float weight = s.scores[t] * mcu_from_half(value_scales[t]);
            s.scores[t] = weight;
            greatest = weight > greatest ? weight : greatest;
        }

        const float factor = MCU_PROBABILITY_ONE / greatest;
        for (int32_t t = 0; t < visible; ++t) {
            const int32_t p = mcu_round_clamped(s.scores[t] * factor, 0, int32_t(MCU_PROBABILITY_ONE));
            s.probabilities[t] = mcu_probability(p);
        }
        mcu_weighted_sums(s.probabilities, values, positions, visible, n, reinterpret_cast<int32_t*>(out));
        const float share = (greatest / MCU_PROBABILITY_ONE) / sum;
        for (int32_t i = 0; i < n; ++i) out[i] = float(int32_t(mcu_bits(out[i]))) * share;
    }
}
