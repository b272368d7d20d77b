// From int32 accumulators to int8: TFLite's fixed-point multiplication, as CMSIS-NN's arm_nn_requantize does it.
#pragma once

#include <stdint.h>

// value * multiplier * 2^(shift - 31): a doubling high multiplication that rounds (adds 2^30 before the shift by 31),
// then a right shift to nearest, ties away from zero. multiplier > -2^31, -31 <= shift <= 31; a value that the left
// shift makes overflow wraps.
static inline int32_t mcu_requantize(int32_t value, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int32_t shifted = int32_t(uint32_t(value) << left);
    const int32_t high = int32_t((int64_t(shifted) * multiplier + (int64_t{1} << 30)) >> 31);
    const int32_t mask = int32_t((uint32_t{1} << right) - 1);
    const int32_t threshold = (mask >> 1) + (high < 0 ? 1 : 0);
    return (high >> right) + ((high & mask) > threshold ? 1 : 0);
}
