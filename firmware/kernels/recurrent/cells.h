// What is computed of the gates cell by cell: one, or four at a time on Helium.
#pragma once

#include "kernels/math/variant.h"
#include "kernels/recurrent/recurrent.h"

#if defined(MCU_HELIUM)
#include "kernels/recurrent/cells_helium.h"
#else
#include "kernels/recurrent/cells_portable.h"
#endif

// The curves at a gate: tables[2][257], of which the first is the sigmoid's.
template <typename Cells, typename Value>
static inline Value mcu_sigmoid_of(Cells cells, const int16_t* tables, Value gate) {
    return cells.curve(tables, gate, 32768);
}

template <typename Cells, typename Value>
static inline Value mcu_tanh_of(Cells cells, const int16_t* tables, Value gate) {
    return cells.curve(tables + 257, gate, 0);
}
