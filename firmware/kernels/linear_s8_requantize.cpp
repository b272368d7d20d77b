#include "kernels/linear_s8_requantize.h"

#include "kernels/dot_s8.h"
#include "kernels/math.h"
#include "kernels/requantize.h"

void mcu_linear_s8_requantize(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                              const int32_t* shift, int8_t* out, int32_t rows, int32_t k, int32_t n, int32_t zero_point,
                              int32_t low, int32_t high) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        const int8_t* w = weight;  // [n - c][k]
        for (int32_t c = 0; c < n;) {
            int32_t sums[4];
            const int32_t end = c + mcu_dots_s8(x, w, k, n - c, sums);
            w += (end - c) * k;
            for (const int32_t* sum = sums; c < end; ++c, ++sum) {
                const int32_t total = bias ? mcu_add_wrapping(*sum, bias[c]) : *sum;
                // Limiting before the zero point is added cannot overflow.
                int32_t value = mcu_requantize(total, multiplier[c], shift[c]);
                value = value < low - zero_point ? low - zero_point : value;
                value = value > high - zero_point ? high - zero_point : value;
                out[c] = int8_t(value + zero_point);
            }
        }
    }
}
