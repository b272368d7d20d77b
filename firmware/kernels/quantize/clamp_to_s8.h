// The last step of every quantized operator.
#pragma once

#include <stdint.h>

// value + zero_point clamped to [low, high], for any value: -128 <= low <= high <= 127, zero_point within int8.
static inline int8_t mcu_clamp_to_s8(int32_t value, int32_t zero_point, int32_t low, int32_t high) {
    // Limiting before the zero point is added cannot overflow.
    value = value < low - zero_point ? low - zero_point : value;
    value = value > high - zero_point ? high - zero_point : value;
    return int8_t(value + zero_point);
}
