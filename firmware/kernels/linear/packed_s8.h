// int8 weights packed for vectors of 16: [groups of 8 rows][blocks of 16 columns][8][16], zeros beyond both edges.
#pragma once

#include <stdint.h>

#define MCU_PACKED_ROWS 8
#define MCU_PACKED_COLUMNS 16

// The bytes of one group of rows with k columns.
static inline int32_t mcu_packed_group_bytes(int32_t k) {
    return (k + MCU_PACKED_COLUMNS - 1) / MCU_PACKED_COLUMNS * (MCU_PACKED_ROWS * MCU_PACKED_COLUMNS);
}

// The products of x[k] with the 8 rows of one group, exact in int32 for k <= 131,071.
static inline void mcu_packed_sums(const int8_t* x, const int8_t* group, int32_t k, int32_t sums[MCU_PACKED_ROWS]) {
    for (int32_t row = 0; row < MCU_PACKED_ROWS; ++row) sums[row] = 0;
    for (int32_t first = 0; first < k; first += MCU_PACKED_COLUMNS) {
        const int32_t count = k - first < MCU_PACKED_COLUMNS ? k - first : MCU_PACKED_COLUMNS;
        for (int32_t row = 0; row < MCU_PACKED_ROWS; ++row, group += MCU_PACKED_COLUMNS) {
            for (int32_t i = 0; i < count; ++i) sums[row] += int32_t(x[first + i]) * int32_t(group[i]);
        }
    }
}
