#include "kernels/conv/conv2d_rows_s8.h"

#include "kernels/conv/window_row.h"
#include "kernels/linear/two_rows_s8.h"

void mcu_conv2d_rows_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                        const int32_t* shift, int8_t* out, const McuWindow* window, const McuConvolution* convolution,
                        void* scratch) {
    const McuConvolution p = *convolution;
    const McuWindow walk = *window;
    const int32_t k = walk.rows * walk.columns * walk.channels;
    const int32_t together = mcu_two_rows_pairs(k), bytes = mcu_two_rows_bytes(k);
    int8_t* const laid_out = static_cast<int8_t*>(scratch);
    int8_t* const gathered = laid_out + together * bytes;  // [2][k]
    McuTwoRows product = {laid_out,
                          weight,
                          {out, out + walk.out_channels},
                          bias,
                          multiplier,
                          shift,
                          k,
                          walk.out_channels,
                          {},
                          1,
                          p.zero_point,
                          p.low,
                          p.high,
                          0};
    // A window of one pixel lies on the image as the row that it is.
    const bool pixels = walk.rows == 1 && walk.columns == 1 && walk.pad_y == 0 && walk.pad_x == 0;
    const int32_t segment = walk.columns * walk.channels, from_step = walk.dilation_y * walk.width * walk.channels;
    // The last pixel that a window may begin with, whose taps lie side by side, or -1.
    const int32_t most = walk.dilation_x == 1 ? walk.width - walk.columns : -1;
    const int8_t* rows[2] = {};
    int32_t waiting = 0;  // rows of a pair
    const auto multiply = [&]() {
        mcu_two_rows_s8(product);
        product.out[0] += 2 * product.pairs * walk.out_channels;
        product.out[1] += 2 * product.pairs * walk.out_channels;
        product.pairs = 0;
    };
    const auto take = [&](const int8_t* row) {
        rows[waiting++] = row;
        if (waiting < 2) return;
        mcu_two_rows_lay_out(rows[0], rows[1], k, laid_out + product.pairs * bytes);
        waiting = 0;
        if (++product.pairs == together) multiply();
    };
    for (int32_t image = 0; image < walk.batch; ++image) {
        for (int32_t y = 0; y < walk.out_height; ++y) {
            const McuWindowLine line = mcu_window_line(walk, x, image, y);
            const int32_t last = line.rows.end - line.rows.first == walk.rows ? most : -1;
            for (int32_t column = 0, at = -walk.pad_x; column < walk.out_width; ++column, at += walk.stride_x) {
                const int8_t* const from = line.from + at * walk.channels;
                if (pixels) {
                    take(from);
                    continue;
                }
                int8_t* const to = gathered + waiting * k;
                if (at >= 0 && at <= last) {
                    mcu_copy_segments(to, segment, from, from_step, segment, walk.rows);
                } else {
                    mcu_window_row(walk, line, column, -p.offset, to);
                }
                take(to);
            }
        }
    }
    if (product.pairs > 0) multiply();
    if (waiting > 0) {  // the last pixel twice
        mcu_two_rows_lay_out(rows[0], rows[0], k, laid_out);
        product.out[1] = product.out[0];
        product.pairs = 1;
        multiply();
    }
}
