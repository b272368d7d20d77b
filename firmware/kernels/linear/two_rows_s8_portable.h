// kernels/linear/two_rows_s8.h in plain C++: the rows as they are, one behind the other.
#pragma once

#include <string.h>

#include "kernels/linear/dot_s8.h"
#include "kernels/linear/two_rows_s8.h"

static inline void mcu_two_rows_lay_out(const int8_t* x0, const int8_t* x1, int32_t k, int8_t* to) {
    memcpy(to, x0, size_t(k));
    memcpy(to + k, x1, size_t(k));
}

static inline void mcu_one_pair_s8(const McuTwoRows& p) {
    const int8_t* w = p.weight;
    for (int32_t c = 0; c < p.n; ++c, w += p.k) {
        for (int32_t row = 0; row < 2; ++row) {
            mcu_two_rows_finish(p, row, c, mcu_dot_s8(p.x + row * p.k, w, p.k));
        }
    }
}

static inline void mcu_two_rows_s8(McuTwoRows p) {
    for (; p.pairs > 0; --p.pairs) {
        mcu_one_pair_s8(p);
        p.x += mcu_two_rows_bytes(p.k);
        p.out[0] += 2 * p.n, p.out[1] += 2 * p.n;
    }
}
