// The windows of output pixels as rows: [rows][columns][channels], with one value for what is not on the image.
#pragma once

#include <stdint.h>

#include "kernels/conv/window.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

static inline void mcu_fill_segment(int8_t* to, int32_t value, int32_t n) {
    for (; n > 0; n -= 16, to += 16) vstrbq_p_s8(to, vdupq_n_s8(int8_t(value)), vctp8q(uint32_t(n)));
}

// `lines` segments of n bytes; they are often shorter than a vector.
static inline void mcu_copy_segments(int8_t* to, int32_t to_step, const int8_t* from, int32_t from_step, int32_t n,
                                     int32_t lines) {
    const int32_t whole = n & ~15;
    if (whole > 0) {
        const int8_t* a = from;
        int8_t* b = to;
        for (int32_t i = 0; i < lines; ++i, a += from_step - whole, b += to_step - whole) {
            for (const int8_t* const end = a + whole; a != end; a += 16, b += 16) vstrbq_s8(b, vldrbq_s8(a));
        }
        from += whole, to += whole, n -= whole;
    }
    if (n == 0) return;
    const mve_pred16_t some = vctp8q(uint32_t(n));
    for (int32_t i = 0; i < lines; ++i, from += from_step, to += to_step) {
        vstrbq_p_s8(to, vldrbq_z_s8(from, some), some);
    }
}
#else
#include <string.h>

static inline void mcu_fill_segment(int8_t* to, int32_t value, int32_t n) { memset(to, int(value), size_t(n)); }

static inline void mcu_copy_segments(int8_t* to, int32_t to_step, const int8_t* from, int32_t from_step, int32_t n,
                                     int32_t lines) {
    for (int32_t i = 0; i < lines; ++i, from += from_step, to += to_step) memcpy(to, from, size_t(n));
}
#endif

// Of `taps` taps, of which the first lies at `at` and the others `dilation` further each, those on a side of `size`.
struct McuTaps {
    int32_t first, end;
};

static inline McuTaps mcu_taps_inside(int32_t at, int32_t taps, int32_t dilation, int32_t size) {
    const int32_t first = at < 0 ? (-at + dilation - 1) / dilation : 0;
    const int32_t end = at < size ? (size - at + dilation - 1) / dilation : 0;
    return {first, end < taps ? end : taps};
}

// What the windows of a line of output pixels have in common: the window's rows that lie on the image.
struct McuWindowLine {
    const int8_t* from;  // the first of them
    McuTaps rows;
};

static inline McuWindowLine mcu_window_line(const McuWindow& w, const int8_t* x, int32_t image, int32_t y) {
    const int32_t first = y * w.stride_y - w.pad_y;
    const McuTaps rows = mcu_taps_inside(first, w.rows, w.dilation_y, w.height);
    const int32_t line = image * w.height + first + rows.first * w.dilation_y;
    return {x + line * w.width * w.channels, rows};
}

// Not inlined: most windows lie on the image whole, and are copied without this.
[[gnu::noinline, maybe_unused]] static void mcu_window_row(const McuWindow& w, const McuWindowLine& line,
                                                           int32_t column, int32_t outside, int8_t* to) {
    const int32_t first = column * w.stride_x - w.pad_x, last = first + (w.columns - 1) * w.dilation_x;
    McuTaps columns = {0, w.columns};
    if (first < 0 || last >= w.width) columns = mcu_taps_inside(first, w.columns, w.dilation_x, w.width);
    const int32_t segment = w.columns * w.channels, inside = columns.end - columns.first;
    const int32_t lines = line.rows.end - line.rows.first;
    if (inside < w.columns || lines < w.rows) mcu_fill_segment(to, outside, w.rows * segment);
    if (inside <= 0 || lines <= 0) return;
    const int8_t* from = line.from + (first + columns.first * w.dilation_x) * w.channels;
    int8_t* at = to + line.rows.first * segment + columns.first * w.channels;
    // Taps that lie side by side are copied at once.
    const int32_t together = w.dilation_x == 1 ? inside : 1;
    const int32_t from_step = w.dilation_y * w.width * w.channels;
    for (int32_t tap = 0; tap < inside; tap += together) {
        mcu_copy_segments(at, segment, from, from_step, together * w.channels, lines);
        at += w.channels;
        from += w.dilation_x * w.channels;
    }
}
