// What the linears of a mixture of experts have in common.
#pragma once

#include <stdint.h>
#include <string.h>

struct McuExperts {
    int32_t rows;
    int32_t step;  // 1: each row has an input of its own; 0: all have the same
    int32_t experts, k, n;
};

// linear(row of the input, expert, out) for each row; zeros where there is no such expert.
template <typename Linear>
static inline void mcu_over_experts(const McuExperts& sizes, const int64_t* expert, float* out, Linear linear) {
    for (int32_t row = 0; row < sizes.rows; ++row, out += sizes.n) {
        if (expert[row] < 0 || expert[row] >= sizes.experts) {
            memset(out, 0, size_t(sizes.n) * sizeof *out);
            continue;
        }
        linear(row * sizes.step, int32_t(expert[row]), out);
    }
}
