#include "kernels/linear/linear_s8_requantize_packed.h"

#include <string.h>

#include "kernels/linear/gemv_s8.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

// Of one group: biases, multipliers, shifts.
#define CONSTANTS (3 * MCU_PACKED_ROWS)

void mcu_linear_s8_requantize_packed(const int8_t* x, const int8_t* weight, const int32_t* constants, int8_t* out,
                                     int32_t rows, int32_t k, int32_t n, int32_t zero_point, int32_t low,
                                     int32_t high) {
#if defined(__ARM_FEATURE_MVE)
    const int32_t whole = n & ~(MCU_PACKED_ROWS - 1);
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        if (whole > 0) mcu_gemv_s8_requantize(x, weight, constants, out, out + whole, k, zero_point, low, high);
        if (whole == n) continue;
        int8_t last[MCU_PACKED_ROWS];
        const int32_t group = whole / MCU_PACKED_ROWS;
        mcu_gemv_s8_requantize(x, weight + group * mcu_packed_group_bytes(k), constants + group * CONSTANTS, last,
                               last + MCU_PACKED_ROWS, k, zero_point, low, high);
        memcpy(out + whole, last, size_t(n - whole));
    }
#else
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        const int8_t* w = weight;
        const int32_t* bias = constants;  // [8], then the multipliers, then the shifts
        for (int32_t first = 0; first < n; first += MCU_PACKED_ROWS, w += mcu_packed_group_bytes(k)) {
            int32_t sums[MCU_PACKED_ROWS];
            mcu_packed_sums(x, w, k, sums);
            for (int32_t c = 0; c < MCU_PACKED_ROWS && first + c < n; ++c) {
                const int32_t sum = mcu_add_wrapping(sums[c], bias[c]);
                const int32_t value = mcu_requantize(sum, bias[MCU_PACKED_ROWS + c], bias[2 * MCU_PACKED_ROWS + c]);
                out[first + c] = mcu_clamp_to_s8(value, zero_point, low, high);
            }
            bias += CONSTANTS;
        }
    }
#endif
}
