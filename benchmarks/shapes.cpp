// Counts the instructions of kernels at the shapes of benchmarks/shapes.py: one line for each, its name and the count.
#include <stdint.h>

#include "kernels/conv/conv2d_rows_s8.h"
#include "kernels/conv/depthwise_conv2d_s8.h"
#include "kernels/linear/batch_matmul_rows_s8.h"
#include "kernels/linear/linear_rows_s8.h"
#include "kernels/linear/linear_s8.h"
#include "kernels/linear/linear_s8_packed.h"
#include "kernels/linear/linear_s8_packed_row.h"
#include "kernels/norm/softmax_s8.h"
#include "platform/counter.h"
#include "platform/platform.h"
#include "runtime/print.h"

namespace {

alignas(16) int8_t x[40 * 1024];
__attribute__((section(".large"))) alignas(16) int8_t weight[1024 * 1024];  // where there is room, as it is no bss
alignas(16) int8_t out[32 * 1024];
alignas(16) uint8_t scratch[16 * 1024];
int32_t bias[2048], multiplier[2048], shift[2048];

template <typename Call>
void measure(const char* name, Call call) {
    const uint64_t before = counter_read();
    call();
    const uint64_t count = counter_instructions(before, counter_read());
    print_text(name);
    print_text(" ");
    print_unsigned(count);
    print_text("\n");
}

#if defined(__ARM_FEATURE_MVE)
int32_t constants[3 * 2048];
#endif

void linear(const char* name, int32_t rows, int32_t k, int32_t n) {
    measure(name, [&] {
#if defined(__ARM_FEATURE_MVE)  // where the weights are packed
        if (rows == 1) {
            mcu_linear_s8_requantize_packed_row(x, weight, constants, out, k, n, 0, -128, 127);
        } else {
            mcu_linear_s8_requantize_packed(x, weight, constants, out, rows, k, n, 0, -128, 127);
        }
#else
        if (rows == 1) {
            mcu_linear_s8_requantize(x, weight, bias, multiplier, shift, out, rows, k, n, 0, -128, 127);
        } else {
            const McuLinearRows numbers = {rows, k, n, 1, 0, -128, 127};
            mcu_linear_rows_s8(x, weight, bias, multiplier, shift, out, &numbers, scratch);
        }
#endif
    });
}

void pixels(const char* name, int32_t count, int32_t k, int32_t n) {  // a convolution of one tap
    const McuLinearRows numbers = {count, k, n, 1, 0, -128, 127};
    measure(name, [&] { mcu_linear_rows_s8(x, weight, bias, multiplier, shift, out, &numbers, scratch); });
}

void batch_matmul(const char* name, int32_t m, int32_t k, int32_t n) {
    const McuBatchMatmul matmul = {1, m, k, n, 3, 5, -2, 1 << 30, -5};
    measure(name, [&] { mcu_batch_matmul_rows_s8(x, weight, out, &matmul, scratch); });
}

struct Shape {
    int32_t height, width, channels, outputs, rows, columns, stride, pad_y, pad_x;
};

McuWindow window_of(const Shape& s) {
    const int32_t out_height = (s.height + 2 * s.pad_y - s.rows) / s.stride + 1;
    const int32_t out_width = (s.width + 2 * s.pad_x - s.columns) / s.stride + 1;
    return {1,         s.height, s.width,  s.channels, out_height, out_width, s.outputs, s.rows,
            s.columns, s.stride, s.stride, s.pad_y,    s.pad_x,    1,         1};
}

void convolution(const char* name, const Shape& s) {
    const McuWindow window = window_of(s);
    const int32_t k = s.rows * s.columns * s.channels;
    const McuConvolution numbers = {s.channels, s.outputs, k, s.channels, 3, -2, -128, 127};
    measure(name, [&] { mcu_conv2d_rows_s8(x, weight, bias, multiplier, shift, out, &window, &numbers, scratch); });
}

void depthwise(const char* name, const Shape& s) {
    const McuWindow window = window_of(s);
    const McuConvolution numbers = {1, s.outputs / s.channels, 1, s.outputs, 3, -2, -128, 127};
    measure(name,
            [&] { mcu_depthwise_conv2d_s8(x, weight, bias, multiplier, shift, out, &window, &numbers, scratch); });
}

}  // namespace

int main() {
    for (int32_t i = 0; i < int32_t(sizeof weight); ++i) weight[i] = int8_t(i * 7 % 255 - 127);
    for (int32_t i = 0; i < int32_t(sizeof x); ++i) x[i] = int8_t(i * 11);
    for (int32_t i = 0; i < 2048; ++i) multiplier[i] = (1 << 30) + i, shift[i] = -8;
    counter_start();
    linear("linear-1-256-256", 1, 256, 256);
    linear("linear-1-688-256", 1, 688, 256);
    linear("linear-1-512-2048", 1, 512, 2048);
    linear("linear-16-128-128", 16, 128, 128);
    linear("linear-16-512-128", 16, 512, 128);
    linear("linear-32-128-512", 32, 128, 512);
    batch_matmul("batch-matmul-32-64-32", 32, 64, 32);
    measure("softmax-32-32", [&] { mcu_softmax_s8(x, out, 32, 32, 0.05f, 3, scratch); });
    convolution("conv-3x3-64-64", {25, 5, 64, 64, 3, 3, 1, 1, 1});
    pixels("conv-1x1-64-64", 125, 64, 64);
    depthwise("depthwise-3x3-64", {25, 5, 64, 64, 3, 3, 1, 1, 1});
    // MobileNetV1 x 0.25 at 96 x 96.
    depthwise("depthwise-48x48-8", {48, 48, 8, 8, 3, 3, 1, 1, 1});
    depthwise("depthwise-48x48-16-by-2", {48, 48, 16, 16, 3, 3, 2, 1, 1});
    depthwise("depthwise-24x24-32", {24, 24, 32, 32, 3, 3, 1, 1, 1});
    depthwise("depthwise-24x24-32-by-2", {24, 24, 32, 32, 3, 3, 2, 1, 1});
    depthwise("depthwise-12x12-64", {12, 12, 64, 64, 3, 3, 1, 1, 1});
    depthwise("depthwise-12x12-64-by-2", {12, 12, 64, 64, 3, 3, 2, 1, 1});
    depthwise("depthwise-6x6-128", {6, 6, 128, 128, 3, 3, 1, 1, 1});
    depthwise("depthwise-6x6-128-by-2", {6, 6, 128, 128, 3, 3, 2, 1, 1});
    depthwise("depthwise-3x3-256", {3, 3, 256, 256, 3, 3, 1, 1, 1});
    convolution("conv-10x4-1-64", {49, 10, 1, 64, 10, 4, 2, 5, 1});
    print_text("done\n");
    return 0;
}
