#include "kernels/conv/transpose_conv2d_s8.h"

#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

namespace {

// The input's row (or column) that reaches `to` through a tap, or -1.
int32_t source_of(int32_t to, int32_t padding, int32_t tap_offset, int32_t stride, int32_t size) {
    const int32_t reached = to + padding - tap_offset;
    if (reached < 0 || reached % stride != 0) return -1;
    const int32_t from = reached / stride;
    return from < size ? from : -1;
}

}  // namespace

void mcu_transpose_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                             const int32_t* shift, int8_t* out, const McuWindow* window,
                             const McuTransposeConvolution* convolution) {
    const McuTransposeConvolution p = *convolution;
    const McuWindow w = *window;
    const int32_t channel_weights = w.rows * w.columns * w.channels;
    mcu_over_output(w, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        const int8_t* taps = weight;  // [rows][columns][channels] of channel c
        for (int32_t c = 0; c < w.out_channels; ++c, taps += channel_weights) {
            int32_t sum = 0;
            for (int32_t i = 0; i < w.rows; ++i) {
                const int32_t from_y = source_of(y, w.pad_y, i * w.dilation_y, w.stride_y, w.height);
                if (from_y < 0) continue;
                for (int32_t j = 0; j < w.columns; ++j) {
                    const int32_t from_x = source_of(column, w.pad_x, j * w.dilation_x, w.stride_x, w.width);
                    if (from_x < 0) continue;
                    const int8_t* a = x + ((image * w.height + from_y) * w.width + from_x) * w.channels;
                    const int8_t* b = taps + (i * w.columns + j) * w.channels;
                    for (int32_t k = 0; k < w.channels; ++k) sum += (a[k] + p.offset) * b[k];
                }
            }
            if (bias != nullptr) sum = mcu_add_wrapping(sum, bias[c]);
            out[pixel + c] = mcu_clamp_to_s8(mcu_requantize(sum, multiplier[c], shift[c]), p.zero_point, p.low, p.high);
        }
    });
}
