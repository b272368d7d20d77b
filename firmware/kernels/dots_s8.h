// Four int8 dot products that share a factor: a row of attention's scores, or of its weighted values.
#pragma once

#include <stdint.h>

#include "kernels/dot_s8.h"

// sums[j] = sum over i of a[i] * b[j * stride + i], i < k, for j < 4; exact in int32 for k <= 131,071.
static inline void mcu_four_dots_s8(const int8_t* a, const int8_t* b, int32_t stride, int32_t k, int32_t* sums) {
#if defined(__ARM_FEATURE_MVE)
    mcu_dot4_s8_helium(a, b, stride, k, sums);
#else
    for (int32_t j = 0; j < 4; ++j) sums[j] = mcu_dot_s8(a, b + j * stride, k);
#endif
}

#if defined(__ARM_FEATURE_MVE)
// As mcu_dots_s8 for rows of `Blocks` times 16 elements, side by side: the factor stays in registers.
template <int32_t Blocks>
static inline void mcu_dots_of_blocks_s8(const int8_t* a, const int8_t* b, int32_t* sums, int32_t count) {
    int8x16_t factor[Blocks];
    for (int32_t i = 0; i < Blocks; ++i) factor[i] = vldrbq_s8(a + 16 * i);
    for (int32_t j = 0; j < count; ++j) {
        int32_t sum = vmladavq_s8(factor[0], vldrbq_s8(b));
        for (int32_t i = 1; i < Blocks; ++i) sum = vmladavaq_s8(sum, factor[i], vldrbq_s8(b + 16 * i));
        sums[j] = sum;
        b += 16 * Blocks;
    }
}
#endif

// sums[j] for j < count, four at a time and the rest one by one.
static inline void mcu_dots_s8(const int8_t* a, const int8_t* b, int32_t stride, int32_t k, int32_t* sums,
                               int32_t count) {
#if defined(__ARM_FEATURE_MVE)
    if (stride == k && k == 16) return mcu_dots_of_blocks_s8<1>(a, b, sums, count);
    if (stride == k && k == 32) return mcu_dots_of_blocks_s8<2>(a, b, sums, count);
    if (stride == k && k == 64) return mcu_dots_of_blocks_s8<4>(a, b, sums, count);
#endif
    int32_t j = 0;
    for (; j + 4 <= count; j += 4) mcu_four_dots_s8(a, b + j * stride, stride, k, sums + j);
    for (; j < count; ++j) sums[j] = mcu_dot_s8(a, b + j * stride, k);
}
