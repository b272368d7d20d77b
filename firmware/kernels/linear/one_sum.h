// The lanes of kernels/linear/sums.h for one sum.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

struct McuOneSum {
    static int32_t load(const int32_t* from) { return *from; }
    static float load(const float* from) { return *from; }
    static int32_t all(int32_t value) { return value; }

    static int32_t add(int32_t a, int32_t b) { return mcu_add_wrapping(a, b); }
    static float to_float(int32_t sum) { return float(sum); }
    static float scale(float value, float factor) { return value * factor; }

    static void store(float* out, float value) { *out = value; }
    static void store(int8_t* out, int32_t value, int32_t zero_point, int32_t low, int32_t high) {
        *out = mcu_clamp_to_s8(value, zero_point, low, high);
    }
    // added + value, both within int16 before and after.
    static void store(int16_t* out, int32_t value, const int16_t* added) { *out = saturate(saturate(value) + *added); }

    static int16_t saturate(int32_t value) {
        return int16_t(value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value);
    }
};
