#include "kernels/attention/attention_s8_dynamic.h"

#include "kernels/attention/attention.h"

// scores[t] *= key_scales[t]; returns the highest.
static float scale_scores(float* scores, const uint16_t* key_scales, int32_t count) {
#if defined(MCU_HELIUM_FLOAT)
    float32x4_t highest = vdupq_n_f32(-__builtin_inff());
    mcu_for_lanes(count, [&](int32_t t, auto lanes) {
        const float32x4_t score = vmulq_f32(mcu_load(scores + t, lanes), mcu_load(key_scales + t, lanes));
        mcu_store(scores + t, score, lanes);
        highest = mcu_max(highest, score, lanes);
    });
    return vmaxnmvq_f32(-__builtin_inff(), highest);
#else
    float highest = -__builtin_inff();
    for (int32_t t = 0; t < count; ++t) {
        scores[t] *= mcu_from_half(key_scales[t]);
        highest = scores[t] > highest ? scores[t] : highest;
    }
    return highest;
#endif
}

// scores[t] becomes the weight w of values[t], e^(score - highest) * value_scales[t]; `sum` the lane sum of the
// exponentials alone. Returns the greatest weight.
static float weigh(float* scores, const uint16_t* value_scales, int32_t count, float highest, float& sum) {
#if defined(MCU_HELIUM_FLOAT)
    float32x4_t sums = vdupq_n_f32(0.0f);
    float32x4_t greatest = vdupq_n_f32(0.0f);
    mcu_for_lanes(count, [&](int32_t t, auto lanes) {
        const float32x4_t e = mcu_exp_lanes_below(vsubq_n_f32(mcu_load(scores + t, lanes), highest));
        const float32x4_t weight = vmulq_f32(e, mcu_load(value_scales + t, lanes));
        mcu_store(scores + t, weight, lanes);
        sums = mcu_add(sums, e, lanes);
        greatest = mcu_max(greatest, weight, lanes);
    });
    sum = mcu_total_of_lanes(sums);
    return vmaxnmvq_f32(0.0f, greatest);
#else
    for (int32_t t = 0; t < count; ++t) scores[t] = mcu_expf(scores[t] - highest);
    sum = mcu_lane_sum(scores, count);
    float greatest = 0.0f;
    for (int32_t t = 0; t < count; ++t) {
        scores[t] *= mcu_from_half(value_scales[t]);
        greatest = scores[t] > greatest ? scores[t] : greatest;
    }
    return greatest;
#endif
}

// p[t] = rint(weights[t] * factor), on Helium with zeros behind them.
static void round_weights(const float* weights, mcu_probability* p, int32_t count, float factor) {
#if defined(MCU_HELIUM_FLOAT)
    vstrbq_s8(p + ((count - 1) & ~15), vdupq_n_s8(0));
    mcu_for_lanes(count, [=](int32_t t, auto lanes) {
        mcu_store(p + t, vcvtnq_s32_f32(vmulq_n_f32(mcu_load(weights + t, lanes), factor)), lanes);
    });
#else
    for (int32_t t = 0; t < count; ++t) {
        p[t] = mcu_probability(mcu_round_clamped(weights[t] * factor, 0, int32_t(MCU_PROBABILITY_ONE)));
    }
#endif
}

void mcu_attention_s8_dynamic(const float* q, const int8_t* k_cache, const int8_t* v_cache, const uint16_t* k_scales,
                              const uint16_t* v_scales, const int64_t* position, float* out, uint8_t* scratch,
                              int32_t heads, int32_t groups, int32_t positions, int32_t n, float scale) {
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
        const float highest = scale_scores(s.scores, key_scales, visible);
        float sum = 0.0f;
        const float greatest = weigh(s.scores, value_scales, visible, highest, sum);
        round_weights(s.scores, s.probabilities, visible, MCU_PROBABILITY_ONE / greatest);
        const float factor = (greatest / MCU_PROBABILITY_ONE) / sum;
        mcu_weighted_sums(s.probabilities, values, positions, visible, n, out, factor);
    }
}
