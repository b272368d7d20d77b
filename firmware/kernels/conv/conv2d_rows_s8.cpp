#include "kernels/conv/conv2d_rows_s8.h"

#include "kernels/conv/window_row.h"
#include "kernels/linear/two_rows_s8.h"

#if defined(MCU_HELIUM)
// Windows that lie on the image two by two: `lines` segments of n < 16 bytes each. Reads and writes 16 bytes for a
// segment: what is more than n is covered by the next one, or meets weights of zero.
struct Windows {
    const int8_t* from;
    int32_t next, from_step;  // to the next window, and from one segment to the next
    int32_t lines, n;
    int32_t pairs;
    int8_t *row, *to;  // row: room for one window, rounded up to 16 bytes, and 16 more
};

// kLines segments, or any number where it is 0, which take kBlocks times 16 bytes. Not inlined: with what the caller
// keeps, compilers run out of registers.
template <int32_t kLines, int32_t kBlocks>
[[gnu::noinline]] static void lay_out_windows(const Windows* windows) {
    const Windows w = *windows;
    const int32_t lines = kLines > 0 ? kLines : w.lines, blocks = kLines > 0 ? kBlocks : (w.n * w.lines + 15) / 16;
    const int8_t* from = w.from;
    int8_t* to = w.to;
    for (int32_t pairs = w.pairs; pairs > 0; --pairs, to += 32 * blocks) {
        for (int32_t second = 0; second < 32; second += 16, from += w.next) {
            const int8_t* a = from;
            int8_t* b = w.row;
#pragma GCC unroll 3
            for (int32_t i = 0; i < lines; ++i, a += w.from_step, b += w.n) vstrbq_s8(b, vldrbq_s8(a));
            for (int32_t i = 0; i < blocks; ++i) vstrbq_s8(to + 32 * i + second, vldrbq_s8(w.row + 16 * i));
        }
    }
}

static inline void lay_out(const Windows& w) {
    const int32_t k = w.lines * w.n;
    if (w.lines == 3 && k <= 16) return lay_out_windows<3, 1>(&w);
    if (w.lines == 3 && k <= 32) return lay_out_windows<3, 2>(&w);
    lay_out_windows<0, 0>(&w);
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
    int8_t* const gathered = laid_out + together * bytes;  // [2][k], or lay_out's row
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
    const auto least = [](int32_t a, int32_t b) { return a < b ? a : b; };
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
                    int32_t pairs = ((last - at) / walk.stride_x + 1) / 2;
                    pairs = least(pairs, least((walk.out_width - column) / 2, (last_by_twos - from) / (2 * next) + 1));
                    pairs = least(pairs, together - product.pairs);
                    lay_out(
                        {from, next, from_step, walk.rows, segment, pairs, gathered, laid_out + product.pairs * bytes});
                    product.pairs += pairs;
                    if (product.pairs == together) multiply();
                    column += 2 * pairs - 1, at += (2 * pairs - 1) * walk.stride_x;
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
