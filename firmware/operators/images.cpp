#include "operators/images.h"

namespace mcu {

namespace {

constexpr int64_t kLargestStep = 1 << 12;

struct Pair {
    int64_t y, x;
    bool fits(int64_t least) const { return y >= least && y <= kLargestStep && x >= least && x <= kLargestStep; }
};

Pair pair_of(const Integers& values, size_t first = 0) { return {values[first], values[first + 1]}; }

// Of a list of one or two; out of range otherwise.
Pair pair_of_steps(const Integers& values) {
    if (values.size() == 1) return {values[0], values[0]};
    return values.size() == 2 ? pair_of(values) : Pair{-1, -1};
}

// One axis of a window that slides over an image.
struct Slide {
    int64_t size, window, stride, dilation, before, after;

    bool gives(int64_t out, bool rounds_up) const {
        const int64_t reach = size + before + after - dilation * (window - 1) - 1;
        int64_t steps = reach / stride;
        if (rounds_up && reach % stride != 0 && (steps + 1) * stride < size + before) ++steps;
        return reach >= 0 && out == steps + 1;
    }
};

McuWindow window_of(const Operand& x, const Operand& out, const Pair& size, const Pair& stride, const Pair& padding,
                    const Pair& dilation) {
    return {x.sizes[0],       x.sizes[1],        x.sizes[2],        x.sizes[3],         out.sizes[1],
            out.sizes[2],     out.sizes[3],      narrow(size.y),    narrow(size.x),     narrow(stride.y),
            narrow(stride.x), narrow(padding.y), narrow(padding.x), narrow(dilation.y), narrow(dilation.x)};
}

int64_t magnitude(int64_t value) { return value < 0 ? -value : value; }

}  // namespace

bool fits_window(McuWindow& window, const Pairs& pairs, const Operand& x, const Operand& out, int64_t rows,
                 int64_t columns) {
    const Pair stride = pair_of_steps(pairs.stride);
    const Pair dilation = pairs.dilation.size() == 0 ? Pair{1, 1} : pair_of_steps(pairs.dilation);
    const bool four = pairs.padding.size() == 4;
    const Pair before = four ? pair_of(pairs.padding) : pair_of_steps(pairs.padding);
    const Pair after = four ? pair_of(pairs.padding, 2) : before;
    if (!stride.fits(1) || !dilation.fits(1) || !before.fits(0) || !after.fits(0) || !Pair{rows, columns}.fits(1)) {
        return false;
    }
    if (x.rank != 4 || out.rank != 4 || x.size(0) != out.size(0) ||
        !Slide{x.size(1), rows, stride.y, dilation.y, before.y, after.y}.gives(out.size(1), pairs.rounds_up) ||
        !Slide{x.size(2), columns, stride.x, dilation.x, before.x, after.x}.gives(out.size(2), pairs.rounds_up)) {
        return false;
    }
    window = window_of(x, out, {rows, columns}, stride, before, dilation);
    return true;
}

bool fits_transposed(McuWindow& window, const Pairs& pairs, const Integers& more, const Operand& x, const Operand& out,
                     int64_t rows, int64_t columns) {
    if (pairs.stride.size() != 2 || pairs.padding.size() != 2 || pairs.dilation.size() != 2 || more.size() != 2) {
        return false;
    }
    const Pair stride = pair_of(pairs.stride), padding = pair_of(pairs.padding), dilation = pair_of(pairs.dilation);
    const Pair added = pair_of(more), size = {rows, columns};
    if (!stride.fits(1) || !padding.fits(0) || !dilation.fits(1) || !added.fits(0) || !size.fits(1)) return false;
    const int64_t height = (x.size(1) - 1) * stride.y + dilation.y * (rows - 1) + 1 - 2 * padding.y + added.y;
    const int64_t width = (x.size(2) - 1) * stride.x + dilation.x * (columns - 1) + 1 - 2 * padding.x + added.x;
    if (x.size(0) != out.size(0) || out.size(1) != height || out.size(2) != width) return false;
    window = window_of(x, out, size, stride, padding, dilation);
    return true;
}

float scale_of(int64_t multiplier, int64_t shift) {
    double scale = static_cast<double>(multiplier);
    for (int64_t i = shift; i < 31; ++i) scale /= 2;
    return narrow(scale);
}

bool is_small(const McuWindow& window) {
    return window.rows <= 3 && window.columns <= 3 && window.stride_y <= 2 && window.stride_x <= 2 &&
           window.dilation_y == 1 && window.dilation_x == 1 && window.out_channels <= kLargestStep;
}

int64_t depthwise_scratch(const McuWindow& window) {
    constexpr int64_t kPixelBytes = 64, kMorePixels = 20, kMostPixels = 84;  // kernels/conv/depthwise_conv2d_s8.h
    const int64_t width = window.out_width, height = window.out_height;
    const bool lies = width >= height || 15 * width * window.out_channels > 0xFFFF;
    const int64_t along = lies ? width : height, lines = lies ? height : width;
    const int64_t under = (along - 1) * (lies ? window.stride_x : window.stride_y) + 3;
    const int64_t most = kMostPixels / under;
    const int64_t pixels = most > 0 ? under * blocks(lines, blocks(lines, most)) : kMostPixels;
    return kPixelBytes * (kMorePixels + pixels);
}

bool are_lines(const int32_t* spans, const int32_t* weights, int64_t count, int64_t length, int64_t parts) {
    constexpr int64_t kLargestSum = INT32_MAX - (1 << 21);
    int64_t at = 0;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t begin = spans[2 * i], number = spans[2 * i + 1];
        if (begin < 0 || number < 0 || begin + number > length || at + number > parts) return false;
        int64_t sum = 0;
        for (int64_t part = 0; part < number; ++part) sum += magnitude(weights[at + part]);
        if (255 * sum > kLargestSum) return false;
        at += number;
    }
    return at == parts;
}

bool are_in_order(const int32_t* spans, int64_t count) {
    for (int64_t i = 1; i < count; ++i) {
        const int32_t* before = spans + 2 * (i - 1);
        const int32_t* span = spans + 2 * i;
        if (before[0] > span[0] || before[0] + before[1] > span[0] + span[1]) return false;
    }
    return true;
}

int64_t longest_span(const int32_t* spans, int64_t count) {
    int64_t longest = 1;
    for (int64_t i = 0; i < count; ++i) longest = spans[2 * i + 1] > longest ? spans[2 * i + 1] : longest;
    return longest;
}

}  // namespace mcu
