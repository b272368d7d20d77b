#include "kernels/linear/batch_matmul_s8.h"

#include "kernels/linear/dot_s8.h"
#include "kernels/linear/sums.h"
#include "kernels/quantize/requantize.h"

// sum (a + a_offset) (b + b_offset) = sum a b + a_offset sum b + b_offset sum a + k a_offset b_offset, in arithmetic
// modulo 2^32, where the order does not matter. Four columns at a time share what a row adds.
void mcu_batch_matmul_s8(const int8_t* a, const int8_t* b, int8_t* out, const McuBatchMatmul* matmul) {
    const McuBatchMatmul p = *matmul;
    const uint32_t constant = uint32_t(p.k) * uint32_t(p.a_offset) * uint32_t(p.b_offset);
    for (int32_t i = 0; i < p.batch; ++i, a += p.m * p.k, b += p.n * p.k, out += p.m * p.n) {
        for (int32_t c = 0; c < p.n; c += 4) {
            const int32_t count = p.n - c < 4 ? p.n - c : 4;
            const int8_t* w = b + c * p.k;  // [count][k]
            int32_t columns[4];
            for (int32_t j = 0; j < count; ++j) {
                columns[j] = int32_t(constant + uint32_t(p.a_offset) * uint32_t(mcu_sum_s8(w + j * p.k, p.k)));
            }
            for (int32_t row = 0; row < p.m; ++row) {
                const int8_t* x = a + row * p.k;
                int32_t sums[4];
                for (int32_t j = 0; j < count;) j += mcu_dots_s8(x, w + j * p.k, p.k, count - j, sums + j);
                const int32_t from_row = int32_t(uint32_t(p.b_offset) * uint32_t(mcu_sum_s8(x, p.k)));
                int8_t* const to = out + row * p.n + c;
                mcu_over_sums(sums, 0, count, [&](auto lanes, int32_t j, auto sum) {
                    const auto added = lanes.add(lanes.load(columns + j), lanes.all(from_row));
                    const auto value =
                        mcu_requantize(lanes.add(sum, added), lanes.all(p.multiplier), lanes.all(p.shift));
                    lanes.store(to + j, value, p.zero_point, -128, 127);
                });
            }
        }
    }
}
