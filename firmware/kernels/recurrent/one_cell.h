// The arithmetic of kernels/recurrent/cells.h for one cell.
#pragma once

#include <stdint.h>

#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

// The last of a table: a gate of 8.
#define MCU_CURVE_END ((1 << 14) - 1)

// What computes with values of a type: McuCells<int32_t> is one cell.
template <typename Value>
struct McuCells;

template <>
struct McuCells<int32_t> {
    static int32_t load(const int16_t* from) { return *from; }
    static void store(int16_t* to, int32_t value) { *to = int16_t(value); }
    static void store_s8(int8_t* to, int32_t value, int32_t multiplier, int32_t shift) {
        *to = mcu_clamp_to_s8(mcu_requantize(value, multiplier, shift), 0, -127, 127);
    }

    // value / 2^shift, ties up.
    static int32_t right(int32_t value, int32_t shift) { return (value + ((1 << shift) >> 1)) >> shift; }
    static int32_t left(int32_t value, int32_t shift) { return int32_t(uint32_t(value) << shift); }
    static int32_t saturate(int32_t value) {
        return value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value;
    }

    // table[257] at |x|, between two entries on their line; below 0 what is left of `from`.
    static int32_t curve(const int16_t* table, int32_t x, int32_t from) {
        const int32_t distance = x < 0 ? -x : x;
        const int32_t magnitude = distance < MCU_CURVE_END ? distance : MCU_CURVE_END;
        const int16_t* const at = table + (magnitude >> 6);
        const int32_t y = at[0] + right((at[1] - at[0]) * (magnitude & 63), 6);
        return x < 0 ? from - y : y;
    }
};

using McuOneCell = McuCells<int32_t>;
