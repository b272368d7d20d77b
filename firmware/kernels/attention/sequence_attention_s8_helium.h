// The parts of mcu_sequence_attention_s8 on Helium: keys and values are packed as weights are
// (kernels/linear/packed_s8.h), so that the linears' products take them.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention.h"
#include "kernels/linear/linear_s8_packed.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/math/math_helium.h"

// A row's blocks of 16 into its place in a group; what is behind n in the last is multiplied by nothing.
static inline void pack_key(const int8_t* key, int32_t n, int8_t* to) {
    int32_t i = 0;
    for (; i + MCU_PACKED_COLUMNS <= n; i += MCU_PACKED_COLUMNS, to += MCU_PACKED_ROWS * MCU_PACKED_COLUMNS) {
        vstrbq_s8(to, vldrbq_s8(key + i));
    }
    if (i < n) vstrbq_s8(to, vldrbq_z_s8(key + i, vctp8q(uint32_t(n - i))));
}

// The n channels of one position: each into its row, `group_bytes` from one group of eight to the next.
static inline void pack_value(const int8_t* value, int32_t n, int8_t* to, int32_t group_bytes) {
    const uint16x8_t rows = vmulq_n_u16(vidupq_n_u16(0, 1), MCU_PACKED_COLUMNS);
    int32_t i = 0;
    for (; i + MCU_PACKED_ROWS <= n; i += MCU_PACKED_ROWS, to += group_bytes) {
        vstrbq_scatter_offset_s16(to, rows, vldrbq_s16(value + i));
    }
    if (i < n) {
        const mve_pred16_t tail = vctp16q(uint32_t(n - i));
        vstrbq_scatter_offset_p_s16(to, rows, vldrbq_z_s16(value + i, tail), tail);
    }
}

static inline void lay_out(const int8_t* k, const int8_t* v, int32_t stride, int32_t count, int32_t n, int8_t* keys,
                           int8_t* values) {
    const int32_t key_group = mcu_packed_group_bytes(n);
    const int32_t value_group = mcu_packed_group_bytes(count);
    for (int32_t t = 0; t < count; ++t, k += stride, v += stride) {
        const int32_t row = t % MCU_PACKED_ROWS * MCU_PACKED_COLUMNS;
        pack_key(k, n, keys + t / MCU_PACKED_ROWS * key_group + row);
        const int32_t block = t / MCU_PACKED_COLUMNS * (MCU_PACKED_ROWS * MCU_PACKED_COLUMNS);
        pack_value(v, n, values + block + t % MCU_PACKED_COLUMNS, value_group);
    }
}

// out[i][c] = (float(sum over j of x[i][j] * weight[c][j]) * ones[c]) * factors[i], x[rows][k], n packed rows of k.
static inline void multiply(const int8_t* x, const float* factors, const int8_t* weight, const float* ones, float* out,
                            int32_t rows, int32_t k, int32_t n) {
    mcu_linear_s8_packed(x, factors, weight, ones, nullptr, out, rows, k, n);
}

static inline void add_to_scores(const float* added, float* scores, int32_t count) {
    const float* before = scores;
    mcu_walk_lanes(
        count, [&](auto lanes) { mcu_put(scores, vaddq_f32(mcu_next(before, lanes), mcu_next(added, lanes)), lanes); });
}

// The probabilities of scores[count] as integers; returns their sum.
static inline int32_t exponentiate(const float* scores, int8_t* p, int32_t count) {
    float32x4_t greatest = vdupq_n_f32(-__builtin_inff());
    const float* score = scores;
    mcu_walk_lanes(count, [&](auto lanes) { greatest = mcu_max(greatest, mcu_next(score, lanes), lanes); });
    const float highest = vmaxnmvq_f32(-__builtin_inff(), greatest);
    int32_t sum = 0;
    mcu_walk_lanes(count, [&](auto lanes) {
        const float32x4_t weight = mcu_exp_lanes_below(vsubq_n_f32(mcu_next(scores, lanes), highest));
        const int32x4_t probability = vcvtnq_s32_f32(vmulq_n_f32(weight, MCU_PROBABILITY_ONE));
        sum = mcu_add_across(sum, probability, lanes);
        mcu_put(p, probability, lanes);
    });
    return sum;
}

static inline void round_to_s8(const float* x, int8_t* out, int32_t n, int32_t zero_point) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const int32x4_t value = mcu_round_clamped_lanes(mcu_next(x, lanes), -128 - zero_point, 127 - zero_point);
        mcu_put(out, vaddq_n_s32(value, zero_point), lanes);
    });
}
