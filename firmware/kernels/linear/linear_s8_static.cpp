#include "kernels/linear/linear_s8_static.h"

#include "kernels/linear/dot_s8.h"
#include "kernels/math/math.h"

void mcu_linear_s8_static(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                          const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        const int8_t* w = weight;  // [n - c][k]
        for (int32_t c = 0; c < n;) {
            int32_t sums[4];
            const int32_t end = c + mcu_dots_s8(x, w, k, n - c, sums);
            w += (end - c) * k;
#if defined(__ARM_FEATURE_MVE)
            if (end - c == 4) {
                const int32x4_t total = vaddq_s32(vld1q_s32(sums), vld1q_s32(offset + c));
                float32x4_t value = vmulq_f32(vcvtq_f32_s32(total), vld1q_f32(scale + c));
                if (bias) value = vaddq_f32(value, vld1q_f32(bias + c));
                vst1q_f32(out + c, value);
                c = end;
                continue;
            }
#endif
            for (const int32_t* sum = sums; c < end; ++c, ++sum) {
                const float value = float(mcu_add_wrapping(*sum, offset[c])) * scale[c];
                out[c] = bias ? value + bias[c] : value;
            }
        }
    }
}
