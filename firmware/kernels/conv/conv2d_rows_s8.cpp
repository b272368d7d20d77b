#include "kernels/conv/conv2d_rows_s8.h"

#include "kernels/conv/window_row.h"
#include "kernels/linear/two_rows_s8.h"

#if defined(MCU_HELIUM)
// Lays two windows out that lie on the image: `lines` segments of n < 16 bytes of each, the second window's `next`
// further. Reads and writes 16 bytes for a segment: what is more than n is covered by the next one, or meets weights of
// zero. rows: [2][k / 16 rounded up + 1][16]. Not inlined: with what the caller keeps, compilers run out of registers.
[[gnu::noinline]] static void lay_out_windows(const int8_t* from, int32_t next, int32_t from_step, int32_t n,
                                              int32_t lines, int8_t* rows, int8_t* to) {
    const int32_t blocks = (n * lines + 15) / 16;
    const int8_t *a = from, *b = from + next;
    int8_t *first = rows, *second = rows + 16 * blocks + 16;
    for (int32_t i = 0; i < lines; ++i, a += from_step, b += from_step, first += n, second += n) {
        vstrbq_s8(first, vldrbq_s8(a));
        vstrbq_s8(second, vldrbq_s8(b));
    }
    const int8_t *x0 = rows, *x1 = rows + 16 * blocks + 16;
    for (int32_t i = 0; i < blocks; ++i, x0 += 16, x1 += 16, to += 32) {
        vstrbq_s8(to, vldrbq_s8(x0));
        vstrbq_s8(to + 16, vldrbq_s8(x1));
    }
}
#endif

void mcu_conv2d_rows_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                        const int32_t* shift, int8_t* out, const McuWindow* window, const McuConvolution* convolution,
                        void* scratch) {
    const McuConvolution p = *convolution;
    const McuWindow walk = *window;
    const int32_t k = walk.rows * walk.columns * walk.channels;
    const int32_t together = mcu_two_rows_pairs(k), bytes = mcu_two_rows_bytes(k);
    int8_t* const laid_out = static_cast<int8_t*>(scratch);
    int8_t* const gathered = laid_out + together * bytes;  // [2][k], or lay_out_windows's rows
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
#if defined(MCU_HELIUM)
    // From one window to the next, and the last first of two that 16 bytes may be read of at each of their segments.
    const int32_t next = walk.stride_x * walk.channels;
    const int8_t* const last_by_twos =
        x + walk.batch * walk.height * walk.width * walk.channels - (walk.rows - 1) * from_step - next - 16;
#endif
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
#if defined(MCU_HELIUM)
                if (waiting == 0 && segment < 16 && at >= 0 && at + walk.stride_x <= last && from <= last_by_twos &&
                    column + 1 < walk.out_width) {
                    lay_out_windows(from, next, from_step, segment, walk.rows, gathered,
                                    laid_out + product.pairs * bytes);
                    if (++product.pairs == together) multiply();
                    ++column, at += walk.stride_x;
                    continue;
                }
#endif
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
