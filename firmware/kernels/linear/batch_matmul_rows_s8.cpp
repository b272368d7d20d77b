#include "kernels/linear/batch_matmul_rows_s8.h"

#include "kernels/linear/dot_s8.h"
#include "kernels/linear/two_rows_s8.h"

// The offsets as in batch_matmul_s8.cpp: what a column adds is its bias, what a row adds its sums' begin.
void mcu_batch_matmul_rows_s8(const int8_t* a, const int8_t* b, int8_t* out, const McuBatchMatmul* matmul,
                              void* scratch) {
    const McuBatchMatmul p = *matmul;
    const uint32_t constant = uint32_t(p.k) * uint32_t(p.a_offset) * uint32_t(p.b_offset);
    int8_t* const laid_out = static_cast<int8_t*>(scratch);
    int32_t* const columns = reinterpret_cast<int32_t*>(laid_out + mcu_two_rows_bytes(p.k));
    const int32_t multiplier[4] = {p.multiplier, p.multiplier, p.multiplier, p.multiplier};
    const int32_t shift[4] = {p.shift, p.shift, p.shift, p.shift};
    for (int32_t i = 0; i < p.batch; ++i, b += p.n * p.k) {
        for (int32_t c = 0; c < p.n; ++c) {
            columns[c] = int32_t(constant + uint32_t(p.a_offset) * uint32_t(mcu_sum_s8(b + c * p.k, p.k)));
        }
        for (int32_t row = 0; row < p.m; row += 2) {
            const bool both = row + 1 < p.m;  // else the last row twice
            const int8_t* const second = both ? a + p.k : a;
            mcu_two_rows_lay_out(a, second, p.k, laid_out);
            const uint32_t first_begins = uint32_t(p.b_offset) * uint32_t(mcu_sum_s8(a, p.k));
            const uint32_t second_begins = uint32_t(p.b_offset) * uint32_t(mcu_sum_s8(second, p.k));
            const McuTwoRows product = {laid_out,
                                        b,
                                        {out, both ? out + p.n : out},
                                        columns,
                                        multiplier,
                                        shift,
                                        p.k,
                                        p.n,
                                        {int32_t(first_begins), int32_t(second_begins)},
                                        0,
                                        p.zero_point,
                                        -128,
                                        127,
                                        1};
            mcu_two_rows_s8(product);
            a += both ? 2 * p.k : p.k;
            out += both ? 2 * p.n : p.n;
        }
    }
}
