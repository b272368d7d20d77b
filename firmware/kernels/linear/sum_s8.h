// The sum of int8 values: what a zero point costs a product, once it is taken out of the loop.
#pragma once

#include <stdint.h>

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

// sum x[i] over n elements, exact in int32 for n < 2^24.
static inline int32_t mcu_sum_s8(const int8_t* x, int32_t n) {
    int32_t sum = 0;
#if defined(__ARM_FEATURE_MVE)
    for (; n >= 16; n -= 16, x += 16) sum = vaddvaq_s8(sum, vldrbq_s8(x));
    if (n > 0) sum = vaddvaq_s8(sum, vldrbq_z_s8(x, vctp8q(uint32_t(n))));
#else
    for (int32_t i = 0; i < n; ++i) sum += x[i];
#endif
    return sum;
}
