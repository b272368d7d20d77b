// mcu::resize_frame: a camera's frame as a model's image, u8 -> elements of `table`, pixels with channels last.
//
// frame[height][width][channels]; out[rows][columns][channels]. Column x is the weighted sum of the columns spans[0],
// ..., spans[0] + spans[1] - 1 of the frame, spans = column_spans[x]; its weights, of 22 bits behind the point, follow
// those of column x - 1. Rows are made of what comes out in the same way, or, with rows_first, before the columns. Each
// sum is rounded and cut to 0 ... 255; then a value v of channel c is table[c][v]. Spans of rows begin and end no
// earlier than those before. scratch: (with rows_first: width; else ring * columns, no span of rows longer than `ring`)
// + columns, times channels bytes. Nothing overlaps. Specification: mcu_sdk/operators/reference/frame.py.
#pragma once

#include <stdint.h>

struct McuResizeFrame {
    int32_t width, channels, columns, rows, ring;
    int32_t rows_first;  // 0 or 1
};

extern "C" void mcu_resize_frame_f32(const uint8_t* frame, const int32_t* column_spans, const int32_t* column_weights,
                                     const int32_t* row_spans, const int32_t* row_weights, const float* table,
                                     float* out, uint8_t* scratch, const McuResizeFrame* sizes);
extern "C" void mcu_resize_frame_s8(const uint8_t* frame, const int32_t* column_spans, const int32_t* column_weights,
                                    const int32_t* row_spans, const int32_t* row_weights, const int8_t* table,
                                    int8_t* out, uint8_t* scratch, const McuResizeFrame* sizes);
