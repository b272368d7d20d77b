#include "kernels/linear/batch_matmul_s8.h"

#include "kernels/linear/dot_s8.h"
#include "kernels/linear/sum_s8.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

// From sums to out[count] of a row, count <= 4; `columns` and `from_row` are what the zero points add.
static inline void finish(const int32_t* sums, const uint32_t* columns, uint32_t from_row, int8_t* out, int32_t count,
                          int32_t zero_point, int32_t multiplier, int32_t shift) {
#if defined(__ARM_FEATURE_MVE)
    if (count == 4) {
        const int32x4_t added = vaddq_n_s32(vreinterpretq_s32_u32(vld1q_u32(columns)), int32_t(from_row));
        const int32x4_t sum = vaddq_s32(vld1q_s32(sums), added);
        const int32x4_t value = mcu_requantize_four(sum, vdupq_n_s32(multiplier), vdupq_n_s32(shift));
        mcu_store_four_s8(out, value, zero_point, -128, 127);
        return;
    }
#endif
    for (int32_t j = 0; j < count; ++j) {
        const int32_t sum = int32_t(uint32_t(sums[j]) + columns[j] + from_row);
        out[j] = mcu_clamp_to_s8(mcu_requantize(sum, multiplier, shift), zero_point, -128, 127);
    }
}

// sum (a + a_offset) (b + b_offset) = sum a b + a_offset sum b + b_offset sum a + k a_offset b_offset, in arithmetic
// modulo 2^32, where the order does not matter. Four columns at a time share what a row adds.
void mcu_batch_matmul_s8(const int8_t* a, const int8_t* b, int8_t* out, int32_t batch, int32_t m, int32_t k, int32_t n,
                         int32_t a_offset, int32_t b_offset, int32_t zero_point, int32_t multiplier, int32_t shift) {
    const uint32_t constant = uint32_t(k) * uint32_t(a_offset) * uint32_t(b_offset);
    for (int32_t i = 0; i < batch; ++i, a += m * k, b += n * k, out += m * n) {
        for (int32_t c = 0; c < n; c += 4) {
            const int32_t count = n - c < 4 ? n - c : 4;
            const int8_t* w = b + c * k;  // [count][k]
            uint32_t columns[4];
            for (int32_t j = 0; j < count; ++j) {
                columns[j] = constant + uint32_t(a_offset) * uint32_t(mcu_sum_s8(w + j * k, k));
            }
            for (int32_t row = 0; row < m; ++row) {
                const int8_t* x = a + row * k;
                int32_t sums[4];
                for (int32_t j = 0; j < count;) j += mcu_dots_s8(x, w + j * k, k, count - j, sums + j);
                const uint32_t from_row = uint32_t(b_offset) * uint32_t(mcu_sum_s8(x, k));
                finish(sums, columns, from_row, out + row * n + c, count, zero_point, multiplier, shift);
            }
        }
    }
}
