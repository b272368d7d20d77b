// Reading elements of any type as numbers, for the kernels that convert.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"

// The types as mcu_sdk/planning/emitters/aten_convert.py numbers them.
enum McuKind : int32_t { kMcuU8, kMcuS8, kMcuS16, kMcuS32, kMcuS64, kMcuF16, kMcuF32, kMcuBool };

// Element i of an integer tensor (a bool counts as 0 or 1).
static inline int64_t mcu_integer_at(const void* x, int32_t i, int32_t kind) {
    switch (kind) {
        case kMcuU8: return static_cast<const uint8_t*>(x)[i];
        case kMcuS8: return static_cast<const int8_t*>(x)[i];
        case kMcuS16: return static_cast<const int16_t*>(x)[i];
        case kMcuS32: return static_cast<const int32_t*>(x)[i];
        case kMcuS64: return static_cast<const int64_t*>(x)[i];
        default: return static_cast<const uint8_t*>(x)[i] != 0 ? 1 : 0;
    }
}

static inline bool mcu_is_float(int32_t kind) { return kind == kMcuF16 || kind == kMcuF32; }

// Element i of a float16 or float32 tensor.
static inline float mcu_float_at(const void* x, int32_t i, int32_t kind) {
    return kind == kMcuF16 ? mcu_from_half(static_cast<const uint16_t*>(x)[i]) : static_cast<const float*>(x)[i];
}

// x towards zero; 0 for a NaN, the nearest int64 for what is out of range.
static inline int64_t mcu_to_integer(float x) {
    if (x != x) return 0;
    if (x >= 9223372036854775808.0f) return INT64_MAX;
    if (x < -9223372036854775808.0f) return INT64_MIN;
    return int64_t(x);
}
