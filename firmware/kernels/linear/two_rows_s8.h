// Two int8 rows at a time times int8 weights that lie row by row: what convolutions and products of activations are
// made of.
//
// Both rows are first laid out as the core multiplies them, then stay while all channels' weights pass by. Short rows
// are laid out in some pairs before they are multiplied, which a call does one after the other:
//   mcu_two_rows_lay_out(x0, x1, k, laid_out);  // pair i at laid_out + i * mcu_two_rows_bytes(k)
//   mcu_two_rows_s8({laid_out, ...});
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

// Bytes of 16 columns of two rows: as they are, or as halfwords.
#if defined(MCU_HELIUM)
#define MCU_TWO_ROWS_BLOCK 32
#else
#define MCU_TWO_ROWS_BLOCK 64
#endif

struct McuTwoRows {
    const int8_t* x;                    // what mcu_two_rows_lay_out made: [pairs][mcu_two_rows_bytes(k)], 16-aligned
    const int8_t* weight;               // [n][k]
    int8_t* out[2];                     // [n] of each row; those of the next pair are 2 * n further
    const int32_t* bias;                // [n]
    const int32_t *multiplier, *shift;  // [n], or [4] equal ones if step is 0; shifts at most 0
    int32_t k, n;                       // k < 2^16
    int32_t begin[2];                   // added to each row's sums
    int32_t step;                       // 1, or 0: one multiplier and shift for all channels
    int32_t zero_point, low, high;
    int32_t pairs;  // 1 ... mcu_two_rows_pairs(k)
};

// Bytes of two rows of k, laid out.
static inline int32_t mcu_two_rows_bytes(int32_t k) { return (k + 15) / 16 * MCU_TWO_ROWS_BLOCK; }

// Pairs of rows of k that are laid out together: what at most 8 pairs of 16 blocks of halfwords take, or one of more.
static inline int32_t mcu_two_rows_pairs(int32_t k) {
    const int32_t halves = 16 / ((k + 15) / 16);
    return 64 / MCU_TWO_ROWS_BLOCK * (halves > 8 ? 8 : halves < 1 ? 1 : halves);
}

// What is made of the sum of row `row` and channel c.
static inline void mcu_two_rows_finish(const McuTwoRows& p, int32_t row, int32_t c, int32_t sum) {
    const int32_t total = int32_t(uint32_t(sum) + uint32_t(p.begin[row]) + uint32_t(p.bias[c]));
    const int32_t at = p.step != 0 ? c : 0;
    const int32_t value = mcu_requantize(total, p.multiplier[at], p.shift[at]);
    p.out[row][c] = mcu_clamp_to_s8(value, p.zero_point, p.low, p.high);
}

#if defined(MCU_HELIUM)
#include "kernels/linear/two_rows_s8_helium.h"
#elif defined(MCU_DSP)
#include "kernels/linear/two_rows_s8_dsp.h"
#else
#include "kernels/linear/two_rows_s8_portable.h"
#endif
