#include "kernels/batch_matmul_s8.h"

#include "kernels/clamp_to_s8.h"
#include "kernels/requantize.h"

void mcu_batch_matmul_s8(const int8_t* a, const int8_t* b, int8_t* out, int32_t batch, int32_t m, int32_t k, int32_t n,
                         int32_t a_offset, int32_t b_offset, int32_t zero_point, int32_t multiplier, int32_t shift) {
    for (int32_t i = 0; i < batch; ++i, b += n * k) {
        for (int32_t row = 0; row < m; ++row, a += k, out += n) {
            const int8_t* w = b;  // [k] of column c
            for (int32_t c = 0; c < n; ++c, w += k) {
                int32_t sum = 0;
                for (int32_t j = 0; j < k; ++j) sum += (a[j] + a_offset) * (w[j] + b_offset);
                out[c] = mcu_clamp_to_s8(mcu_requantize(sum, multiplier, shift), zero_point, -128, 127);
            }
        }
    }
}
