#include <string.h>

#include "kernels/linear/gemv_s8.h"
#include "kernels/linear/linear_s8_packed.h"
#include "kernels/linear/linear_s8_packed_row.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/linear/pairs_s8.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

// The rows of a product that are taken two by two: fewer than four channels make no pairs.
static inline int32_t rows_in_pairs(int32_t rows, int32_t n) { return n >= 4 ? rows & ~1 : 0; }

// Calls pairs(row, count) for the rows two by two, some pairs at a time, then one(row, channel) for what they leave
// out: the channels from `channel` on, which is a multiple of eight, of each row.
template <typename Pairs, typename One>
static inline void over_rows(int32_t rows, int32_t n, Pairs pairs, One one) {
    const int32_t in_pairs = rows_in_pairs(rows, n);
    for (int32_t row = 0; row < in_pairs; row += 2 * MCU_MOST_PAIRS) {
        const int32_t left = (in_pairs - row) / 2;
        pairs(row, left < MCU_MOST_PAIRS ? left : MCU_MOST_PAIRS);
    }
    if (n % 4 != 0) {
        for (int32_t row = 0; row < in_pairs; ++row) one(row, n & ~(MCU_PACKED_ROWS - 1));
    }
    for (int32_t row = in_pairs; row < rows; ++row) one(row, 0);
}

// Whether a channel is requantized without a shift, by a multiplier above 0, which the kernels for pairs do not do.
static inline bool some_unshifted(const int32_t* constants, int32_t n) {
    int32x4_t found = vdupq_n_s32(0);
    for (; n > 0; n -= MCU_PACKED_ROWS, constants += 3 * MCU_PACKED_ROWS) {
        for (int32_t i = MCU_PACKED_ROWS; i < 2 * MCU_PACKED_ROWS; i += 4) {
            const int32x4_t shifted = vshrq_n_s32(vldrwq_s32(constants + MCU_PACKED_ROWS + i), 31);  // -1 where it is
            found = vorrq_s32(found, vbicq_s32(vldrwq_s32(constants + i), shifted));
        }
    }
    return vmaxvq_s32(0, found) != 0;
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
    if (n > MCU_PAIRS_LONGEST || some_unshifted(constants, n)) {
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

// out[n] = added[n] plus a row's requantized products. Of a last group that is not whole the first `done` channels have
// been added: they stay.
static inline void add_row(const int16_t* added, const int8_t* x, const int8_t* weight, const int32_t* constants,
                           int16_t* out, int32_t k, int32_t n, int32_t done) {
    const int32_t whole = n & ~(MCU_PACKED_ROWS - 1);
    if (whole > 0) mcu_gemv_s8_add_s16(x, weight, constants, out, out + whole, k, added);
    if (whole == n) return;
    int16_t last[MCU_PACKED_ROWS] = {};
    memcpy(last, added + whole, size_t(n - whole) * sizeof *last);
    mcu_gemv_s8_add_s16(x, weight + whole / MCU_PACKED_ROWS * mcu_packed_group_bytes(k), constants + 3 * whole, last,
                        last + MCU_PACKED_ROWS, k, last);
    memcpy(out + whole + done, last + done, size_t(n - whole - done) * sizeof *last);
}

void mcu_linear_s8_add_s16_packed(const int16_t* added, const int8_t* x, const int8_t* weight, const int32_t* constants,
                                  int16_t* out, int32_t rows, int32_t k, int32_t n) {
    const bool by_pairs = rows > 1 && n <= MCU_PAIRS_LONGEST / 2 && !some_unshifted(constants, n);
    const int32_t in_pairs = by_pairs ? rows_in_pairs(rows, n) : 0;
    const auto one = [&](int32_t row, int32_t c) {
        add_row(added + row * n + c, x + row * k, weight + c / MCU_PACKED_ROWS * mcu_packed_group_bytes(k),
                constants + 3 * c, out + row * n + c, k, n - c, row < in_pairs ? n & 4 : 0);
    };
    if (!by_pairs) {
        for (int32_t row = 0; row < rows; ++row) one(row, 0);
        return;
    }
    over_rows(
        rows, n,
        [&](int32_t row, int32_t count) {
            const McuPairs pairs = {x + row * k, weight, constants,      out + row * n, k,       n,
                                    n / 4,       count,  nullptr,        nullptr,       nullptr, 0,
                                    0,           0,      added + row * n};
            mcu_pairs_s8_add_s16(&pairs);
        },
        one);
}
#endif
