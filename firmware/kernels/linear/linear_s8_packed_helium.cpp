#include "kernels/linear/linear_s8_packed.h"
#include "kernels/linear/linear_s8_packed_row.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/linear/pairs_s8.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
// Calls pairs(row, count) for the rows two by two, some pairs at a time, then one(row, channel) for what they leave
// out: the channels from `channel` on, which is a multiple of eight, of each row. Fewer than four channels make no
// pairs.
template <typename Pairs, typename One>
static inline void over_rows(int32_t rows, int32_t n, Pairs pairs, One one) {
    const int32_t in_pairs = n >= 4 ? rows & ~1 : 0;
    for (int32_t row = 0; row < in_pairs; row += 2 * MCU_MOST_PAIRS) {
        const int32_t left = (in_pairs - row) / 2;
        pairs(row, left < MCU_MOST_PAIRS ? left : MCU_MOST_PAIRS);
    }
    if (n % 4 != 0) {
        for (int32_t row = 0; row < in_pairs; ++row) one(row, n & ~(MCU_PACKED_ROWS - 1));
    }
    for (int32_t row = in_pairs; row < rows; ++row) one(row, 0);
}

// Not inlined, here and below: one row, which is the usual call of these, would prepare for pairs.
[[gnu::noinline]] static void dynamic(const int8_t* x, const float* x_scale, const int8_t* weight,
                                      const float* weight_scale, const float* bias, float* out, int32_t rows, int32_t k,
                                      int32_t n) {
    over_rows(
        rows, n,
        [&](int32_t row, int32_t count) {
            const McuPairs pairs = {x + row * k, weight,       nullptr, out + row * n, k, n, n / 4,
                                    count,       weight_scale, bias,    x_scale + row, 0, 0, 0};
            mcu_pairs_s8_dynamic(&pairs);
        },
        [&](int32_t row, int32_t c) {
            mcu_linear_s8_packed_row(x + row * k, x_scale + row,
                                     weight + c / MCU_PACKED_ROWS * mcu_packed_group_bytes(k), weight_scale + c,
                                     bias ? bias + c : nullptr, out + row * n + c, k, n - c);
        });
}

void mcu_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                          const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    if (rows == 1) return mcu_linear_s8_packed_row(x, x_scale, weight, weight_scale, bias, out, k, n);
    dynamic(x, x_scale, weight, weight_scale, bias, out, rows, k, n);
}

[[gnu::noinline]] static void with_offsets(const int8_t* x, const int8_t* weight, const int32_t* offset,
                                           const float* scale, const float* bias, float* out, int32_t rows, int32_t k,
                                           int32_t n) {
    over_rows(
        rows, n,
        [&](int32_t row, int32_t count) {
            const McuPairs pairs = {x + row * k, weight, offset, out + row * n, k, n, n / 4,
                                    count,       scale,  bias,   nullptr,       0, 0, 0};
            mcu_pairs_s8_static(&pairs);
        },
        [&](int32_t row, int32_t c) {
            mcu_linear_s8_static_packed_row(x + row * k, weight + c / MCU_PACKED_ROWS * mcu_packed_group_bytes(k),
                                            offset + c, scale + c, bias ? bias + c : nullptr, out + row * n + c, k,
                                            n - c);
        });
}

void mcu_linear_s8_static_packed(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                 const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    if (rows == 1) return mcu_linear_s8_static_packed_row(x, weight, offset, scale, bias, out, k, n);
    with_offsets(x, weight, offset, scale, bias, out, rows, k, n);
}

[[gnu::noinline]] static void requantize(const int8_t* x, const int8_t* weight, const int32_t* constants, int8_t* out,
                                         int32_t rows, int32_t k, int32_t n, int32_t zero_point, int32_t low,
                                         int32_t high) {
    const auto one = [&](int32_t row, int32_t c) {
        mcu_linear_s8_requantize_packed_row(x + row * k, weight + c / MCU_PACKED_ROWS * mcu_packed_group_bytes(k),
                                            constants + 3 * c, out + row * n + c, k, n - c, zero_point, low, high);
    };
    if (n > MCU_PAIRS_LONGEST) {
        for (int32_t row = 0; row < rows; ++row) one(row, 0);
        return;
    }
    over_rows(
        rows, n,
        [&](int32_t row, int32_t count) {
            const McuPairs pairs = {x + row * k, weight,  constants, out + row * n, k,          n,   n / 4,
                                    count,       nullptr, nullptr,   nullptr,       zero_point, low, high};
            mcu_pairs_s8_requantize(&pairs);
        },
        one);
}

void mcu_linear_s8_requantize_packed(const int8_t* x, const int8_t* weight, const int32_t* constants, int8_t* out,
                                     int32_t rows, int32_t k, int32_t n, int32_t zero_point, int32_t low,
                                     int32_t high) {
    if (rows == 1) return mcu_linear_s8_requantize_packed_row(x, weight, constants, out, k, n, zero_point, low, high);
    requantize(x, weight, constants, out, rows, k, n, zero_point, low, high);
}
#endif
