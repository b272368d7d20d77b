// int4 weights in blocks of 8 rows and 32 columns: [groups of 8 rows][groups of 32 columns][144 bytes], zeros beyond
// the last row and column. A block has 16 bytes for each row, byte i with column i in its low half and column 16 + i in
// its high half, both two's complement; then what each row's sum is multiplied with, 8 bfloat16: the upper halves of
// floats.
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/linear/dot_s8_dsp.h"
#include "kernels/math/math.h"

#define MCU_S4_ROWS 8
#define MCU_S4_COLUMNS 32
#define MCU_S4_ROW_BYTES (MCU_S4_COLUMNS / 2)
#define MCU_S4_BLOCK_BYTES (MCU_S4_ROWS * MCU_S4_ROW_BYTES + 2 * MCU_S4_ROWS)

// The bytes of one group of rows with k columns.
static inline int32_t mcu_s4_group_bytes(int32_t k) {
    return (k + MCU_S4_COLUMNS - 1) / MCU_S4_COLUMNS * MCU_S4_BLOCK_BYTES;
}

#if defined(MCU_HAS_DSP)
// The four bytes of a word times four of x, added to sum.
static inline int32_t mcu_s4_add_products(const int8_t* x, uint32_t word, int32_t sum) {
    const uint32_t inputs = mcu_load_word(x);
    sum = mcu_add_products(mcu_even_halves(inputs), mcu_even_halves(word), sum);
    return mcu_add_products(mcu_odd_halves(inputs), mcu_odd_halves(word), sum);
}
#endif

// 16 times the products of x[32] with one row of a block: the nibbles stay in the upper half of their bytes. With DSP
// instructions 18 for 8 products.
static inline int32_t mcu_s4_sum(const int8_t* x, const int8_t* row) {
    int32_t sum = 0;
#if defined(MCU_HAS_DSP)
    const uint32_t upper = 0xF0F0F0F0u;
    for (int32_t i = 0; i < MCU_S4_ROW_BYTES; i += 4) {
        const uint32_t word = mcu_load_word(row + i);
        sum = mcu_s4_add_products(x + i, (word << 4) & upper, sum);
        sum = mcu_s4_add_products(x + i + MCU_S4_ROW_BYTES, word & upper, sum);
    }
#else
    for (int32_t i = 0; i < MCU_S4_ROW_BYTES; ++i) {
        const uint32_t byte = uint8_t(row[i]);
        sum += int32_t(x[i]) * int32_t(int8_t(byte << 4));
        sum += int32_t(x[i + MCU_S4_ROW_BYTES]) * int32_t(int8_t(byte & 0xF0u));
    }
#endif
    return sum;
}

// total[8] of x[k] with one group of rows, the groups of columns added in their order.
static inline void mcu_s4_totals(const int8_t* x, const int8_t* block, int32_t k, float total[MCU_S4_ROWS]) {
    for (int32_t row = 0; row < MCU_S4_ROWS; ++row) total[row] = 0.0f;
    int8_t last[MCU_S4_COLUMNS] = {};
    for (int32_t left = k; left > 0; left -= MCU_S4_COLUMNS, x += MCU_S4_COLUMNS) {
        if (left < MCU_S4_COLUMNS) {  // nothing beyond the row's end is read
            memcpy(last, x, size_t(left));
            x = last;
        }
        const int8_t* const factors = block + MCU_S4_ROWS * MCU_S4_ROW_BYTES;
        for (int32_t row = 0; row < MCU_S4_ROWS; ++row, block += MCU_S4_ROW_BYTES) {
            uint16_t factor;
            memcpy(&factor, factors + 2 * row, sizeof factor);
            total[row] += float(mcu_s4_sum(x, block)) * mcu_from_bits(uint32_t(factor) << 16);
        }
        block += 2 * MCU_S4_ROWS;
    }
}
