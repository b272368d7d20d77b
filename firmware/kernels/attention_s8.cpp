#include "kernels/attention_s8.h"

#include "kernels/attention.h"

void mcu_attention_s8(const float* q, const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                      const float* v_scale, const int64_t* position, float* out, uint8_t* scratch, int32_t heads,
                      int32_t groups, int32_t positions, int32_t n, float scale) {
    const int32_t visible = mcu_visible(*position, positions);
    const McuAttentionScratch s = mcu_attention_scratch(scratch, positions);
    for (int32_t head = 0; head < heads; ++head, q += n, out += n) {
        const int32_t group = head / (heads / groups);
        const int8_t* keys = k_cache + group * positions * n;    // [visible][n]
        const int8_t* values = v_cache + group * positions * n;  // [visible][n]
        const float* key_scale = k_scale + group * n;            // [n]
        const float* value_scale = v_scale + group * n;          // [n]

        for (int32_t i = 0; i < n; ++i) out[i] = (q[i] * scale) * key_scale[i];
        const float query_scale = mcu_quantize_query(out, s.query, n);

        float highest = -__builtin_inff();
        for (int32_t t = 0; t < visible; ++t) {
            const float score = float(mcu_dot_s8(s.query, keys + t * n, n)) * query_scale;
            s.scores[t] = score;
            highest = score > highest ? score : highest;
        }

        int32_t sum = 0;
        for (int32_t t = 0; t < visible; ++t) {
            const float weight = mcu_expf(s.scores[t] - highest);
            const int32_t p = mcu_round_clamped(weight * MCU_PROBABILITY_ONE, 0, int32_t(MCU_PROBABILITY_ONE));
            s.probabilities[t] = mcu_probability(p);
            sum += p;
        }

        const float reciprocal = 1.0f / float(sum);
        mcu_weighted_sums(s.probabilities, values, visible, n, out, reciprocal);
        for (int32_t i = 0; i < n; ++i) out[i] *= value_scale[i];
    }
}
