// int4 weights in blocks of 8 rows and 32 columns: [groups of 8 rows][groups of 32 columns][144 bytes], zeros beyond
// the last row and column. A block has 16 bytes for each row, byte i with column i in its low half and column 16 + i in
// its high half, both two's complement; then what each row's sum is multiplied with, 8 bfloat16: the upper halves of
// floats.
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/linear/sum_s4.h"
#include "kernels/math/math.h"

#define MCU_S4_ROWS 8
#define MCU_S4_COLUMNS 32
#define MCU_S4_ROW_BYTES (MCU_S4_COLUMNS / 2)
#define MCU_S4_BLOCK_BYTES (MCU_S4_ROWS * MCU_S4_ROW_BYTES + 2 * MCU_S4_ROWS)

// The bytes of one group of rows with k columns.
static inline int32_t mcu_s4_group_bytes(int32_t k) {
    return (k + MCU_S4_COLUMNS - 1) / MCU_S4_COLUMNS * MCU_S4_BLOCK_BYTES;
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
