#include "kernels/linear/linear_s8_requantize.h"

#include "kernels/linear/dot_s8.h"
#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

void mcu_linear_s8_requantize(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                              const int32_t* shift, int8_t* out, int32_t rows, int32_t k, int32_t n, int32_t zero_point,
                              int32_t low, int32_t high) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        const int8_t* w = weight;  // [n - c][k]
        for (int32_t c = 0; c < n;) {
            int32_t sums[4];
            const int32_t end = c + mcu_dots_s8(x, w, k, n - c, sums);
            w += (end - c) * k;
#if defined(__ARM_FEATURE_MVE)
            if (end - c == 4) {
                int32x4_t total = vld1q_s32(sums);
                if (bias) total = vaddq_s32(total, vld1q_s32(bias + c));
                const int32x4_t value = mcu_requantize_four(total, vld1q_s32(multiplier + c), vld1q_s32(shift + c));
                mcu_store_four_s8(out + c, value, zero_point, low, high);
                c = end;
                continue;
            }
#endif
            for (const int32_t* sum = sums; c < end; ++c, ++sum) {
                const int32_t total = bias ? mcu_add_wrapping(*sum, bias[c]) : *sum;
                out[c] = mcu_clamp_to_s8(mcu_requantize(total, multiplier[c], shift[c]), zero_point, low, high);
            }
        }
    }
}
