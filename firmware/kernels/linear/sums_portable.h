// kernels/linear/sums.h without vectors.
#pragma once

#include "kernels/linear/one_sum.h"

// Calls formula(lanes, c, sum) for the sums of the channels c to end - 1, at most four.
template <typename Formula>
static inline void mcu_over_sums(const int32_t* sums, int32_t c, int32_t end, Formula formula) {
    for (; c < end; ++c, ++sums) formula(McuOneSum{}, c, *sums);
}
