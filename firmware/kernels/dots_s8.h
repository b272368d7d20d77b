// Four int8 dot products that share a factor: a row of attention's scores, or of its weighted values.
#pragma once

#include <stdint.h>

#include "kernels/dot_s8.h"

// sums[j] = sum over i of a[i] * b[j * stride + i], i < k, for j < 4; exact in int32 for k <= 131,071.
static inline void mcu_four_dots_s8(const int8_t* a, const int8_t* b, int32_t stride, int32_t k, int32_t* sums) {
#if defined(__ARM_FEATURE_MVE)
    const int8_t* b1 = b + stride;
    const int8_t* b2 = b1 + stride;
    const int8_t* b3 = b2 + stride;
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    for (int32_t blocks = k >> 4; blocks > 0; --blocks) {
        const int8x16_t factor = vldrbq_s8(a);
        s0 = vmladavaq_s8(s0, factor, vldrbq_s8(b));
        s1 = vmladavaq_s8(s1, factor, vldrbq_s8(b1));
        s2 = vmladavaq_s8(s2, factor, vldrbq_s8(b2));
        s3 = vmladavaq_s8(s3, factor, vldrbq_s8(b3));
        a += 16;
        b += 16;
        b1 += 16;
        b2 += 16;
        b3 += 16;
    }
    if ((k & 15) != 0) {
        const mve_pred16_t tail = vctp8q(uint32_t(k & 15));
        const int8x16_t factor = vldrbq_z_s8(a, tail);
        s0 = vmladavaq_s8(s0, factor, vldrbq_z_s8(b, tail));
        s1 = vmladavaq_s8(s1, factor, vldrbq_z_s8(b1, tail));
        s2 = vmladavaq_s8(s2, factor, vldrbq_z_s8(b2, tail));
        s3 = vmladavaq_s8(s3, factor, vldrbq_z_s8(b3, tail));
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
#else
    for (int32_t j = 0; j < 4; ++j) sums[j] = mcu_dot_s8(a, b + j * stride, k);
#endif
}

// sums[j] for j < count, four at a time and the rest one by one.
static inline void mcu_dots_s8(const int8_t* a, const int8_t* b, int32_t stride, int32_t k, int32_t* sums,
                               int32_t count) {
    int32_t j = 0;
    for (; j + 4 <= count; j += 4) mcu_four_dots_s8(a, b + j * stride, stride, k, sums + j);
    for (; j < count; ++j) sums[j] = mcu_dot_s8(a, b + j * stride, k);
}
