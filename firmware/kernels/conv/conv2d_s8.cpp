#include "kernels/conv/conv2d_s8.h"

#include "kernels/linear/dot_s8.h"
#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

// sum (a[i] + offset) * b[i]. Long rows are two sums, which vectors compute faster than one.
static inline int32_t offset_dot(const int8_t* a, const int8_t* b, int32_t n, int32_t offset) {
    if (n >= 16) return mcu_dot_s8(a, b, n) + offset * mcu_sum_s8(b, n);
    int32_t sum = 0;
    for (int32_t i = 0; i < n; ++i) sum += (a[i] + offset) * b[i];
    return sum;
}

void mcu_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                   const int32_t* shift, int8_t* out, const McuWindow* window, const McuConvolution* convolution) {
    const McuConvolution p = *convolution;
    const McuWindow walk = *window;
    mcu_over_output(walk, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        for (int32_t c = 0; c < walk.out_channels; ++c) {
            const int32_t first = c / p.group_outputs * p.group_inputs;
            int32_t sum = 0;
            mcu_over_window(walk, image, y, column, [&](int32_t from, int32_t tap) {
                const int8_t* a = x + from + first;
                const int8_t* b = weight + c * p.weight_step + tap * p.tap_step;
                sum += offset_dot(a, b, p.group_inputs, p.offset);
            });
            if (bias != nullptr) sum = mcu_add_wrapping(sum, bias[c]);
            out[pixel + c] = mcu_clamp_to_s8(mcu_requantize(sum, multiplier[c], shift[c]), p.zero_point, p.low, p.high);
        }
    });
}
