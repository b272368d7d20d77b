#include "kernels/linear/linear_s8.h"

#include "kernels/linear/dot_s8.h"

void mcu_linear_s8(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                   const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        const int8_t* w = weight;  // [n - c][k]
        for (int32_t c = 0; c < n;) {
            int32_t sums[4];
            const int32_t end = c + mcu_dots_s8(x, w, k, n - c, sums);
            w += (end - c) * k;
#if defined(__ARM_FEATURE_MVE)
            if (end - c == 4) {
                const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(vld1q_s32(sums)), vld1q_f32(weight_scale + c));
                float32x4_t value = vmulq_n_f32(scaled, x_scale[row]);
                if (bias) value = vaddq_f32(value, vld1q_f32(bias + c));
                vst1q_f32(out + c, value);
                c = end;
                continue;
            }
#endif
            for (const int32_t* sum = sums; c < end; ++c, ++sum) {
                const float value = (float(*sum) * weight_scale[c]) * x_scale[row];
                out[c] = bias ? value + bias[c] : value;
            }
        }
    }
}
