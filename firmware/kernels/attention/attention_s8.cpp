#include "kernels/attention/attention_s8.h"

#include "kernels/attention/attention.h"

// The probabilities of scores[count] as integers, on Helium with zeros behind them; returns their sum.
static int32_t exponentiate(float* scores, mcu_probability* p, int32_t count) {
    int32_t sum = 0;
#if defined(MCU_HELIUM_FLOAT)
    for (int32_t t = count; t & 3; ++t) scores[t] = -__builtin_inff();  // fills up a four: the probability is 0
    float32x4_t lanes = vldrwq_f32(scores);
    for (int32_t t = 4; t < count; t += 4) lanes = vmaxnmq_f32(lanes, vldrwq_f32(scores + t));
    const float highest = vmaxnmvq_f32(-__builtin_inff(), lanes);

    vstrbq_s8(p + ((count - 1) & ~15), vdupq_n_s8(0));
    for (int32_t t = 0; t < count; t += 4) {
        const float32x4_t weight = mcu_exp_lanes_below(vsubq_n_f32(vldrwq_f32(scores + t), highest));
        const int32x4_t probability = vcvtnq_s32_f32(vmulq_n_f32(weight, MCU_PROBABILITY_ONE));
        sum = vaddvaq_s32(sum, probability);
        vstrbq_s32(p + t, probability);
    }
#else
    float highest = -__builtin_inff();
    for (int32_t t = 0; t < count; ++t) highest = scores[t] > highest ? scores[t] : highest;
    for (int32_t t = 0; t < count; ++t) {
        const float weight = mcu_expf(scores[t] - highest);
        p[t] = mcu_probability(mcu_round_clamped(weight * MCU_PROBABILITY_ONE, 0, int32_t(MCU_PROBABILITY_ONE)));
        sum += p[t];
    }
#endif
    return sum;
}

void mcu_attention_s8(const float* q, const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                      const float* v_scale, const int64_t* position, float* out, uint8_t* scratch, int32_t heads,
                      int32_t groups, int32_t positions, int32_t n, float scale) {
    const int32_t visible = mcu_visible(*position, positions);
    const McuAttentionScratch s = mcu_attention_scratch(scratch, positions);
    for (int32_t head = 0; head < heads; ++head, q += n, out += n) {
        const int32_t group = head / (heads / groups);
        const int8_t* keys = k_cache + group * positions * n;    // [visible][n]
        const int8_t* values = v_cache + group * positions * n;  // [n][positions]

        mcu_scale_channels(q, scale, k_scale + group * n, out, n);
        const float query_scale = mcu_quantize_query(out, s.query, n);
        mcu_scores(s.query, keys, visible, n, s.scores, query_scale);
        const int32_t sum = exponentiate(s.scores, s.probabilities, visible);
        mcu_weighted_sums(s.probabilities, values, positions, visible, n, out, 1.0f / float(sum));
        mcu_scale_channels(out, 1.0f, v_scale + group * n, out, n);
    }
}
