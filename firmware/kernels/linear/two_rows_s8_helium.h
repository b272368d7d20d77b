// kernels/linear/two_rows_s8.h on Helium: both rows' blocks of 16 columns by turns, zeros beyond k.
#pragma once

#include <arm_mve.h>

#include "kernels/linear/two_rows_s8.h"

static inline void mcu_two_rows_lay_out(const int8_t* x0, const int8_t* x1, int32_t k, int8_t* to) {
    for (; k >= 16; k -= 16, x0 += 16, x1 += 16, to += 32) {
        vstrbq_s8(to, vldrbq_s8(x0));
        vstrbq_s8(to + 16, vldrbq_s8(x1));
    }
    if (k > 0) {
        const mve_pred16_t tail = vctp8q(uint32_t(k));
        vstrbq_s8(to, vldrbq_z_s8(x0, tail));
        vstrbq_s8(to + 16, vldrbq_z_s8(x1, tail));
    }
}

// Four channels at a time, n / 4 of them, at least one, of all pairs: kernels/linear/two_rows_s8_helium.S.
extern "C" void mcu_two_rows_by_four_s8(const McuTwoRows* rows);

// The largest n of mcu_two_rows_by_four_s8: where a row's results lie beside the other's has 16 bits.
#define MCU_TWO_ROWS_LONGEST 0xFFFC

// The channels from `first` on.
static inline void mcu_two_rows_rest(McuTwoRows p, int32_t first) {
    for (; p.pairs > 0; --p.pairs, p.x += mcu_two_rows_bytes(p.k), p.out[0] += 2 * p.n, p.out[1] += 2 * p.n) {
        for (int32_t c = first; c < p.n; ++c) {
            const int8_t* w = p.weight + c * p.k;
            int32_t sums[2] = {};
            for (int32_t i = 0; i < p.k; i += 16) {
                const int8x16_t factor = vldrbq_z_s8(w + i, vctp8q(uint32_t(p.k - i)));
                sums[0] = vmladavaq_s8(sums[0], factor, vldrbq_s8(p.x + 2 * i));
                sums[1] = vmladavaq_s8(sums[1], factor, vldrbq_s8(p.x + 2 * i + 16));
            }
            mcu_two_rows_finish(p, 0, c, sums[0]);
            mcu_two_rows_finish(p, 1, c, sums[1]);
        }
    }
}

static inline void mcu_two_rows_s8(const McuTwoRows& p) {
    const bool limited = p.high >= 0 && p.high >= p.zero_point;  // as kernels/quantize/requantize_macros.inc does it
    const int32_t first = p.n <= MCU_TWO_ROWS_LONGEST && limited ? p.n & ~3 : 0;
    if (first > 0) mcu_two_rows_by_four_s8(&p);
    if (first < p.n) mcu_two_rows_rest(p, first);
}
