// kernels/recurrent/cells.h, one cell at a time.
#pragma once

#include "kernels/recurrent/one_cell.h"

// Calls formula(cells, i) for the cells 0 to n - 1.
template <typename Formula>
static inline void mcu_over_cells(int32_t n, Formula formula) {
    for (int32_t i = 0; i < n; ++i) formula(McuOneCell{}, i);
}
