#include "kernels/attention_s8.h"

#include "kernels/attention.h"

namespace {

// scores[t] = float(dots[t]) * scale, in place; returns the highest.
float scale_scores(const int32_t* dots, float* scores, int32_t count, float scale) {
    float highest = -__builtin_inff();
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(count, [&](int32_t t, auto lanes) {
        const float32x4_t score = vmulq_n_f32(vcvtq_f32_s32(mcu_load(dots + t, lanes)), scale);
        mcu_store(scores + t, score, lanes);
        highest = mcu_max_across(highest, score, lanes);
    });
#else
    for (int32_t t = 0; t < count; ++t) {
        const float score = float(dots[t]) * scale;
        scores[t] = score;
        highest = score > highest ? score : highest;
    }
#endif
    return highest;
}

// p[t] = e^(scores[t] - highest) as a probability; returns their sum.
int32_t exponentiate(const float* scores, mcu_probability* p, int32_t count, float highest) {
    int32_t sum = 0;
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(count, [&](int32_t t, auto lanes) {
        const float32x4_t weight = mcu_exp_lanes(vsubq_n_f32(mcu_load(scores + t, lanes), highest));
        const int32x4_t probability =
            mcu_round_clamped_lanes(vmulq_n_f32(weight, MCU_PROBABILITY_ONE), 0, int32_t(MCU_PROBABILITY_ONE));
        mcu_store(p + t, probability, lanes);
        sum = mcu_add_across(sum, probability, lanes);
    });
#else
    for (int32_t t = 0; t < count; ++t) {
        const float weight = mcu_expf(scores[t] - highest);
        const int32_t probability = mcu_round_clamped(weight * MCU_PROBABILITY_ONE, 0, int32_t(MCU_PROBABILITY_ONE));
        p[t] = mcu_probability(probability);
        sum += probability;
    }
#endif
    return sum;
}

// out = (q * scale) * key_scale, [n].
void take_in_scales(const float* q, float scale, const float* key_scale, float* out, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_load(q + i, lanes), scale);
        mcu_store(out + i, vmulq_f32(scaled, mcu_load(key_scale + i, lanes)), lanes);
    });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = (q[i] * scale) * key_scale[i];
#endif
}

// out = (float(sum) * reciprocal) * value_scale, [n]; the int32 sums lie where the floats go.
void normalize(float* out, float reciprocal, const float* value_scale, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const int32x4_t sums = vreinterpretq_s32_f32(mcu_load(out + i, lanes));
        const float32x4_t mean = vmulq_n_f32(vcvtq_f32_s32(sums), reciprocal);
        mcu_store(out + i, vmulq_f32(mean, mcu_load(value_scale + i, lanes)), lanes);
    });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = (float(int32_t(mcu_bits(out[i]))) * reciprocal) * value_scale[i];
#endif
}

}  // namespace

void mcu_attention_s8(const float* q, const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                      const float* v_scale, const int64_t* position, float* out, uint8_t* scratch, int32_t heads,
                      int32_t groups, int32_t positions, int32_t n, float scale) {
    const int32_t visible = mcu_visible(*position, positions);
    const McuAttentionScratch s = mcu_attention_scratch(scratch, positions);
    int32_t* dots = reinterpret_cast<int32_t*>(scratch);  // where the scores will be
    for (int32_t head = 0; head < heads; ++head, q += n, out += n) {
        asm volatile("" ::: "memory");  // this head's dot products are written where the last one's scores are read
        const int32_t group = head / (heads / groups);
        const int8_t* keys = k_cache + group * positions * n;    // [visible][n]
        const int8_t* values = v_cache + group * n * positions;  // [n][visible]
        const float* key_scale = k_scale + group * n;            // [n]
        const float* value_scale = v_scale + group * n;          // [n]

        take_in_scales(q, scale, key_scale, out, n);
        const float query_scale = mcu_quantize_query(out, s.query, n);
        mcu_dots_s8(s.query, keys, n, n, dots, visible);
        const float highest = scale_scores(dots, s.scores, visible, query_scale);
        const int32_t sum = exponentiate(s.scores, s.probabilities, visible, highest);
        mcu_weighted_sums(s.probabilities, values, positions, visible, n, reinterpret_cast<int32_t*>(out));
        normalize(out, 1.0f / float(sum), value_scale, n);
    }
}
