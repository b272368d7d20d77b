// The parts of mcu_sequence_attention_s8 on Helium: keys and values are packed as weights are
// (kernels/linear/packed_s8.h), so that the linears' products take them.
#pragma once

#include <stdint.h>

#include "kernels/attention/attention.h"
#include "kernels/attention/exp_shares_s8.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/linear/pairs_s8.h"
#include "kernels/math/math_helium.h"

// Sixteen channels, or those of `some`, of each key to its row of a group; groups are `group_bytes` apart. What is
// behind n is multiplied by nothing.
static inline void pack_keys(const int8_t* k, int32_t stride, int32_t count, mve_pred16_t some, int8_t* to,
                             int32_t group_bytes) {
    for (int32_t left = count; left > 0; left -= MCU_PACKED_ROWS, to += group_bytes) {
        int8_t* row = to;
        for (int32_t i = left < MCU_PACKED_ROWS ? left : MCU_PACKED_ROWS; i > 0; --i, k += stride) {
            vstrbq_s8(row, vldrbq_z_s8(k, some));
            row += MCU_PACKED_COLUMNS;
        }
    }
}

// Eight channels, or those of `some`, of each position, each into its row; a block is 16 positions.
static inline void pack_values(const int8_t* v, int32_t stride, int32_t count, mve_pred16_t some, int8_t* to) {
    const uint16x8_t rows = vmulq_n_u16(vidupq_n_u16(0, 1), MCU_PACKED_COLUMNS);
    for (int32_t left = count; left > 0; left -= MCU_PACKED_COLUMNS, to += MCU_PACKED_ROWS * MCU_PACKED_COLUMNS) {
        int8_t* column = to;
        for (int32_t i = left < MCU_PACKED_COLUMNS ? left : MCU_PACKED_COLUMNS; i > 0; --i, v += stride) {
            vstrbq_scatter_offset_p_s16(column++, rows, vldrbq_z_s16(v, some), some);
        }
    }
}

static inline void lay_out_keys(const int8_t* k, int32_t stride, int32_t count, int32_t n, int8_t* keys) {
    for (int32_t i = 0; i < n; i += MCU_PACKED_COLUMNS) {
        pack_keys(k + i, stride, count, vctp8q(uint32_t(n - i)), keys + i * MCU_PACKED_ROWS, mcu_packed_group_bytes(n));
    }
}

static inline void lay_out_values(const int8_t* v, int32_t stride, int32_t count, int32_t m, int8_t* values) {
    for (int32_t i = 0; i < m; i += MCU_PACKED_ROWS) {
        pack_values(v + i, stride, count, vctp16q(uint32_t(m - i)),
                    values + i / MCU_PACKED_ROWS * mcu_packed_group_bytes(count));
    }
}

// Places of a row of scores, or of results: channels are multiplied by fours. What is behind `count` is anything.
static inline int32_t lanes_of(int32_t count) { return (count + 3) & ~3; }

// Rows are multiplied by twos.
static inline int32_t whole_tile(int32_t rows) { return (rows + 1) & ~1; }

static inline void copy_query(const int8_t* from, int8_t* to, int32_t n) {
    for (; n >= 16; n -= 16, from += 16, to += 16) vstrbq_s8(to, vldrbq_s8(from));
    if (n > 0) {
        const mve_pred16_t tail = vctp8q(uint32_t(n));
        vstrbq_p_s8(to, vldrbq_z_s8(from, tail), tail);
    }
}

// out[i][c] = float(sum over j of x[i][j] * weight[c][j]) * scale, x[rows][k], n packed rows of k; rows even, n a
// multiple of four.
static inline void multiply(const int8_t* x, const int8_t* weight, float scale, float* out, int32_t rows, int32_t k,
                            int32_t n) {
    const McuPairs pairs = {x, weight, nullptr, out, k, n, n / 4, rows / 2, &scale, nullptr, nullptr, 0, 0, 0};
    mcu_pairs_s8_scaled(&pairs);
}

static inline void add_to_scores(const float* added, float* scores, int32_t count) {
    const float* before = scores;
    mcu_walk_lanes(
        count, [&](auto lanes) { mcu_put(scores, vaddq_f32(mcu_next(before, lanes), mcu_next(added, lanes)), lanes); });
}

static inline void add_times(const float* added, float factor, float* scores, int32_t count) {
    const float* before = scores;
    mcu_walk_lanes(count, [&](auto lanes) {
        const float32x4_t more = vmulq_n_f32(mcu_next(added, lanes), factor);
        mcu_put(scores, vaddq_f32(mcu_next(before, lanes), more), lanes);
    });
}

static inline int32_t exponentiate(const float* scores, int8_t* p, int32_t count) {
    return mcu_exp_shares_s8(scores, p, count);
}

// out[i] = x[i] * factor, rounded, plus zero_point, saturated.
static inline void round_to_s8(const float* x, float factor, int8_t* out, int32_t n, int32_t zero_point) {
    mcu_walk_lanes(n, [&](auto lanes) {
        const float32x4_t scaled = vmulq_n_f32(mcu_next(x, lanes), factor);
        const int32x4_t value = mcu_round_clamped_lanes(scaled, -128 - zero_point, 127 - zero_point);
        mcu_put(out, vaddq_n_s32(value, zero_point), lanes);
    });
}
