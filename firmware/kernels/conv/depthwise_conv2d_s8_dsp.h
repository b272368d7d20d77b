// kernels/conv/depthwise_conv2d_s8.h with DSP instructions: four channels a word, two products of halfwords to each of
// their sums' registers.
#pragma once

#include "kernels/conv/depthwise_conv2d_s8.h"
#include "kernels/linear/words_dsp.h"
#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

namespace {

// Bytes 0 and 2, and bytes 1 and 3, as halves, plus the halves of `sum`.
inline uint32_t add_even_halves(uint32_t sum, uint32_t word) {
    uint32_t halves;
    asm("sxtab16 %0, %1, %2" : "=r"(halves) : "r"(sum), "r"(word));
    return halves;
}

inline uint32_t add_odd_halves(uint32_t sum, uint32_t word) {
    uint32_t halves;
    asm("sxtab16 %0, %1, %2, ror #8" : "=r"(halves) : "r"(sum), "r"(word));
    return halves;
}

// sum + low * low, and sum + high * high. In assembly as in words_dsp.h.
inline int32_t add_low_product(uint32_t a, uint32_t b, int32_t sum) {
    asm("smlabb %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

inline int32_t add_high_product(uint32_t a, uint32_t b, int32_t sum) {
    asm("smlatt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

// mcu_requantize by a shift of 1 ... 31 to the right, saturated to 16 bits: the carry is the last bit that is shifted
// out, and one less where the number is negative makes ties go away from zero.
inline int32_t requantize_right(int32_t sum, int32_t multiplier, int32_t right) {
    int32_t low, high;
    asm("smull %0, %1, %2, %3\n\t"
        "adds %0, %0, #0x40000000\n\t"
        "adc %1, %1, #0\n\t"
        "lsls %0, %0, #1\n\t"
        "adc %1, %1, %1\n\t"
        "add %1, %1, %1, asr #31\n\t"
        "asrs %1, %1, %4\n\t"
        "adc %1, %1, #0\n\t"
        "ssat %1, #16, %1"
        : "=&r"(low), "=&r"(high)
        : "r"(sum), "r"(multiplier), "r"(right)
        : "cc");
    return high;
}

// Two halves, plus zero_point with saturation, within low and high; each of the three twice.
inline uint32_t clamp_halves(int32_t first, int32_t second, uint32_t zero_point, uint32_t low, uint32_t high) {
    uint32_t value, scratch;
    asm("pkhbt %0, %2, %3, lsl #16\n\t"
        "qadd16 %0, %0, %4\n\t"
        "ssub16 %1, %0, %5\n\t"
        "sel %0, %0, %5\n\t"
        "ssub16 %1, %6, %0\n\t"
        "sel %0, %0, %6"
        : "=&r"(value), "=&r"(scratch)
        : "r"(first), "r"(second), "r"(zero_point), "r"(low), "r"(high));
    return value;
}

inline uint32_t twice(int32_t value) { return (uint32_t(value) & 0xFFFFu) * 0x10001u; }

// The taps of a window that lie on the image, along one side.
struct Taps {
    int32_t first, end, from;  // tap `first` reads pixel `from`
};

inline Taps taps_inside(int32_t at, int32_t taps, int32_t size) {
    const int32_t first = at < 0 ? -at : 0;
    const int32_t end = at + taps > size ? size - at : taps;
    return {first, end, at + first};
}

// Where a window lies: [rows][columns] pixels and taps, in bytes.
struct Region {
    int32_t rows, line;              // of the window's pixels
    int32_t step;                    // to the next pixel and tap
    int32_t from_line, factor_line;  // to the next line of pixels, and of taps
};

struct FourSums {
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

    // One tap's products; the offset is added to the pixel.
    void add(const int8_t* pixel, const int8_t* factor, uint32_t offset) {
        const uint32_t values = mcu_load_word(pixel), taps = mcu_load_word(factor);
        const uint32_t even = add_even_halves(offset, values), even_taps = mcu_even_halves(taps);
        s0 = add_low_product(even, even_taps, s0);
        s2 = add_high_product(even, even_taps, s2);
        const uint32_t odd = add_odd_halves(offset, values), odd_taps = mcu_odd_halves(taps);
        s1 = add_low_product(odd, odd_taps, s1);
        s3 = add_high_product(odd, odd_taps, s3);
    }
};

// The sums of four channels over a window. Not inlined: with what its caller keeps, compilers run out of registers.
[[gnu::noinline]] FourSums four_sums(const int8_t* from, const int8_t* factors, const Region* region, uint32_t offset) {
    FourSums sums;
    const int32_t step = region->step;
    if (region->line == 3 * step) {  // most windows
        for (int32_t row = region->rows; row > 0; --row) {
            sums.add(from, factors, offset);
            sums.add(from + step, factors + step, offset);
            sums.add(from + 2 * step, factors + 2 * step, offset);
            from += region->from_line, factors += region->factor_line;
        }
        return sums;
    }
    for (int32_t row = region->rows; row > 0; --row) {
        for (int32_t at = 0; at < region->line; at += step) sums.add(from + at, factors + at, offset);
        from += region->from_line, factors += region->factor_line;
    }
    return sums;
}

}  // namespace

void mcu_depthwise_conv2d_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                             const int32_t* shift, int8_t* out, const McuWindow* window,
                             const McuConvolution* convolution, void* scratch) {
    static_cast<void>(scratch);
    const McuWindow w = *window;
    const McuConvolution p = *convolution;
    const int32_t n = w.channels;
    const uint32_t offset = twice(p.offset);
    const uint32_t zero_point = twice(p.zero_point), low = twice(p.low), high = twice(p.high);
    mcu_over_output(w, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        const Taps rows = taps_inside(y * w.stride_y - w.pad_y, w.rows, w.height);
        const Taps columns = taps_inside(column * w.stride_x - w.pad_x, w.columns, w.width);
        const int8_t* const from = x + ((image * w.height + rows.from) * w.width + columns.from) * n;
        const int8_t* const factors = weight + (rows.first * w.columns + columns.first) * n;
        const Region region = {rows.end - rows.first, (columns.end - columns.first) * n, n, w.width * n, w.columns * n};
        int32_t c = 0;
        for (; c + 4 <= n; c += 4) {
            auto [s0, s1, s2, s3] = four_sums(from + c, factors + c, &region, offset);
            if (bias != nullptr) {
                s0 = mcu_add_wrapping(s0, bias[c]), s1 = mcu_add_wrapping(s1, bias[c + 1]);
                s2 = mcu_add_wrapping(s2, bias[c + 2]), s3 = mcu_add_wrapping(s3, bias[c + 3]);
            }
            s0 = requantize_right(s0, multiplier[c], -shift[c]);
            s1 = requantize_right(s1, multiplier[c + 1], -shift[c + 1]);
            s2 = requantize_right(s2, multiplier[c + 2], -shift[c + 2]);
            s3 = requantize_right(s3, multiplier[c + 3], -shift[c + 3]);
            const uint32_t evens = clamp_halves(s0, s2, zero_point, low, high);
            const uint32_t odds = clamp_halves(s1, s3, zero_point, low, high);
            const uint32_t word = (evens & 0x00FF00FFu) | (odds & 0x00FF00FFu) << 8;
            memcpy(out + pixel + c, &word, sizeof word);
        }
        for (; c < n; ++c) {
            int32_t sum = 0;
            for (int32_t row = 0; row < region.rows; ++row) {
                for (int32_t i = c; i < region.line; i += n) {
                    sum += (from[row * region.from_line + i] + p.offset) * factors[row * region.factor_line + i];
                }
            }
            if (bias != nullptr) sum = mcu_add_wrapping(sum, bias[c]);
            out[pixel + c] = mcu_clamp_to_s8(mcu_requantize(sum, multiplier[c], shift[c]), p.zero_point, p.low, p.high);
        }
    });
}
