// kernels/recurrent/cells.h on Helium: four cells at a time.
#pragma once

#include <arm_mve.h>

#include "kernels/quantize/requantize_helium.h"
#include "kernels/recurrent/one_cell.h"

template <>
struct McuCells<int32x4_t> {
    static int32x4_t load(const int16_t* from) { return vldrhq_s32(from); }
    static void store(int16_t* to, int32x4_t value) { vstrhq_s32(to, value); }
    static void store_s8(int8_t* to, int32x4_t value, int32_t multiplier, int32_t shift) {
        mcu_store_clamped(to, mcu_requantize(value, vdupq_n_s32(multiplier), vdupq_n_s32(shift)), 0, -127, 127);
    }

    static int32x4_t right(int32x4_t value, int32_t shift) { return vrshlq_s32(value, vdupq_n_s32(-shift)); }
    static int32x4_t left(int32x4_t value, int32_t shift) { return vshlq_s32(value, vdupq_n_s32(shift)); }
    static int32x4_t saturate(int32x4_t value) {
        return vmaxq_s32(vminq_s32(value, vdupq_n_s32(INT16_MAX)), vdupq_n_s32(INT16_MIN));
    }

    static int32x4_t curve(const int16_t* table, int32x4_t x, int32_t from) {
        const int32x4_t magnitude = vminq_s32(vabsq_s32(x), vdupq_n_s32(MCU_CURVE_END));
        const uint32x4_t at = vreinterpretq_u32_s32(vshrq_n_s32(magnitude, 6));
        const int32x4_t low = vldrhq_gather_shifted_offset_s32(table, at);
        const int32x4_t step = vsubq_s32(vldrhq_gather_shifted_offset_s32(table + 1, at), low);
        const int32x4_t between = vandq_s32(magnitude, vdupq_n_s32(63));
        const int32x4_t y = vaddq_s32(low, vrshrq_n_s32(vmulq_s32(step, between), 6));
        return vpselq_s32(vsubq_s32(vdupq_n_s32(from), y), y, vcmpltq_n_s32(x, 0));
    }
};

// Calls formula(cells, i) for the cells 0 to n - 1, four at a time as long as there are four.
template <typename Formula>
static inline void mcu_over_cells(int32_t n, Formula formula) {
    int32_t i = 0;
    for (; i + 4 <= n; i += 4) formula(McuCells<int32x4_t>{}, i);
    for (; i < n; ++i) formula(McuOneCell{}, i);
}
