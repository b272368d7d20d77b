// How a convolution or a pool walks over an image with channels last.
#pragma once

#include <stdint.h>

struct McuWindow {
    int32_t batch, height, width, channels;       // of the input [batch][height][width][channels]
    int32_t out_height, out_width, out_channels;  // of the output, likewise
    int32_t rows, columns;                        // of the window
    int32_t stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x;
};

// Calls visit(input pixel, tap) for each of the window's taps that lie on the image; pixel is the index of its first
// channel, tap counts the window's rows and columns.
template <typename Visit>
static inline void mcu_over_window(const McuWindow& w, int32_t image, int32_t y, int32_t x, Visit visit) {
    for (int32_t row = 0; row < w.rows; ++row) {
        const int32_t from_y = y * w.stride_y - w.pad_y + row * w.dilation_y;
        if (from_y < 0 || from_y >= w.height) continue;
        for (int32_t column = 0; column < w.columns; ++column) {
            const int32_t from_x = x * w.stride_x - w.pad_x + column * w.dilation_x;
            if (from_x < 0 || from_x >= w.width) continue;
            visit(((image * w.height + from_y) * w.width + from_x) * w.channels, row * w.columns + column);
        }
    }
}

// Calls visit(image, y, x, output pixel) for each pixel of the output.
template <typename Visit>
static inline void mcu_over_output(const McuWindow& w, Visit visit) {
    int32_t pixel = 0;
    for (int32_t image = 0; image < w.batch; ++image) {
        for (int32_t y = 0; y < w.out_height; ++y) {
            for (int32_t x = 0; x < w.out_width; ++x, pixel += w.out_channels) visit(image, y, x, pixel);
        }
    }
}
