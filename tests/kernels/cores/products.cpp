// The linears with and without DSP instructions, side by side: one line for each case says whether the bits are
// equal and how many instructions each took. `portable_` functions are the same sources, compiled without the
// extension.
#include <stdint.h>
#include <string.h>

#include <initializer_list>

#include "kernels/conv/conv2d_rows_s8.h"
#include "kernels/conv/depthwise_conv2d_s8.h"
#include "kernels/linear/batch_matmul_rows_s8.h"
#include "kernels/linear/blocks_s4.h"
#include "kernels/linear/dot_s8.h"
#include "kernels/linear/linear_rows_s8.h"
#include "kernels/linear/linear_s4.h"
#include "kernels/linear/linear_s8.h"
#include "kernels/linear/linear_s8_pairs.h"
#include "platform/counter.h"
#include "platform/platform.h"
#include "runtime/print.h"

extern "C" {
decltype(mcu_linear_s4) portable_linear_s4;
decltype(mcu_linear_s8) portable_linear_s8;
decltype(mcu_linear_s8_static) portable_linear_s8_static;
decltype(mcu_linear_s8_requantize) portable_linear_s8_requantize;
decltype(mcu_linear_s8_per_tensor) portable_linear_s8_per_tensor;
decltype(mcu_linear_s8_pairs) portable_linear_s8_pairs;
decltype(mcu_linear_s8_static_pairs) portable_linear_s8_static_pairs;
decltype(mcu_linear_rows_s8) portable_linear_rows_s8;
decltype(mcu_batch_matmul_rows_s8) portable_batch_matmul_rows_s8;
decltype(mcu_conv2d_rows_s8) portable_conv2d_rows_s8;
decltype(mcu_depthwise_conv2d_s8) portable_depthwise_conv2d_s8;
}

namespace {

constexpr int32_t kLongest = 2048, kChannels = 64, kRows = 3;

int8_t x[kRows * kLongest + 4], weight[kChannels * kLongest + 4];
int8_t blocks[kChannels / MCU_S4_ROWS * (kLongest / MCU_S4_COLUMNS) * MCU_S4_BLOCK_BYTES];
float scale[kChannels], bias[kChannels];
int32_t offset[kChannels], multiplier[kChannels], shift[kChannels];
alignas(8) uint8_t scratch[4 * kLongest + 4 * kChannels + 1024];
uint8_t found[kRows * kChannels * 4], expected[kRows * kChannels * 4];

uint32_t state = 1;
uint32_t random_word() {  // xorshift32
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

// All of int8, one value in eight from its ends.
int8_t random_byte() {
    const uint32_t word = random_word();
    if ((word >> 8 & 7) == 0) return word & 1 << 16 ? int8_t(-128) : int8_t(127);
    return int8_t(word);
}

template <typename Call>
uint64_t counted(Call call) {
    const uint64_t before = counter_read();
    call();
    return counter_instructions(before, counter_read());
}

template <typename Call>
void compare(const char* name, int32_t rows, int32_t k, int32_t n, Call call) {
    memset(found, 0x5A, sizeof found);
    memset(expected, 0x5A, sizeof expected);
    const uint64_t fast = counted([&] { call(true, found); });
    const uint64_t slow = counted([&] { call(false, expected); });
    print_text(name);
    for (const uint64_t number : {uint64_t(rows), uint64_t(k), uint64_t(n), fast, slow}) {
        print_text(" ");
        print_unsigned(number);
    }
    print_text(memcmp(found, expected, sizeof found) == 0 ? " equal\n" : " DIFFERENT\n");
}

// int4 weights; what they are scaled with lies within 2^-7 and 2.
void fill_blocks() {
    for (int8_t& value : blocks) value = int8_t(random_word());
    int8_t* const end = blocks + sizeof blocks;
    for (int8_t* block = blocks; block != end; block += MCU_S4_BLOCK_BYTES) {
        for (int32_t i = MCU_S4_ROWS * MCU_S4_ROW_BYTES + 1; i < MCU_S4_BLOCK_BYTES; i += 2) {
            block[i] = int8_t(0x3C | (block[i] & 0x83));
        }
    }
}

void all(int32_t rows, int32_t k, int32_t n, int32_t misaligned) {
    const int8_t* a = x + misaligned;
    const int8_t* w = weight + (misaligned + 1) % 4;
    for (int8_t& value : x) value = random_byte();
    for (int32_t i = 0; i < n * k + 4; ++i) weight[i] = random_byte();
    for (int32_t i = 0; i < n; ++i) {
        scale[i] = float(random_byte()) * 0x1p-9f;
        bias[i] = float(random_byte()) * 0.25f;
        offset[i] = int32_t(random_word());
        multiplier[i] = int32_t(random_word() >> 1);
        shift[i] = -1 - int32_t(random_word() % 20);
    }
    fill_blocks();
    compare("linear_s4", rows, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_s4 : portable_linear_s4)(a, bias, blocks, bias, reinterpret_cast<float*>(out), rows, k, n);
    });
    compare("linear_s8", rows, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_s8 : portable_linear_s8)(a, bias, w, scale, bias, reinterpret_cast<float*>(out), rows, k, n);
    });
    compare("linear_s8_static", rows, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_s8_static : portable_linear_s8_static)(a, w, offset, scale, nullptr,
                                                                  reinterpret_cast<float*>(out), rows, k, n);
    });
    compare("linear_s8_requantize", rows, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_s8_requantize : portable_linear_s8_requantize)(
            a, w, offset, multiplier, shift, reinterpret_cast<int8_t*>(out), rows, k, n, 3, -128, 127);
    });
    const McuRequantization requantization = {multiplier[0], shift[0], -5, -100, 120};
    compare("linear_s8_per_tensor", rows, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_s8_per_tensor : portable_linear_s8_per_tensor)(a, w, nullptr, reinterpret_cast<int8_t*>(out),
                                                                          rows, k, n, &requantization);
    });
    const int32_t several = rows == 1 ? 2 : rows;
    compare("linear_s8_pairs", several, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_s8_pairs : portable_linear_s8_pairs)(a, bias, w, scale, bias, reinterpret_cast<float*>(out),
                                                                scratch, several, k, n);
    });
    compare("linear_s8_static_pairs", several, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_s8_static_pairs : portable_linear_s8_static_pairs)(
            a, w, offset, scale, nullptr, reinterpret_cast<float*>(out), scratch, several, k, n);
    });
    const McuLinearRows linear = {several, k, n, 1, 100, -101, 119};
    compare("linear_rows_s8", several, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_linear_rows_s8 : portable_linear_rows_s8)(a, w, offset, multiplier, shift,
                                                              reinterpret_cast<int8_t*>(out), &linear, scratch);
    });
    const McuBatchMatmul matmul = {1, several, k, n, -127, 128, -3, multiplier[0], shift[0]};
    compare("batch_matmul_rows_s8", several, k, n, [&](bool fast, uint8_t* out) {
        (fast ? mcu_batch_matmul_rows_s8 : portable_batch_matmul_rows_s8)(a, w, reinterpret_cast<int8_t*>(out), &matmul,
                                                                          scratch);
    });
}

// A convolution of an image of `height` x `width` with windows of `taps` x `taps`, dense to four channels or depthwise.
void convolve(int32_t height, int32_t width, int32_t channels, int32_t taps, int32_t stride, int32_t pad) {
    const int32_t out_height = (height + 2 * pad - taps) / stride + 1,
                  out_width = (width + 2 * pad - taps) / stride + 1;
    for (int8_t& value : x) value = random_byte();
    for (int32_t i = 0; i < 4 * taps * taps * channels; ++i) weight[i] = random_byte();
    for (int32_t i = 0; i < kChannels; ++i) shift[i] = -1 - int32_t(random_word() % 14);
    McuWindow window = {1,    height, width,  channels, out_height, out_width, channels, taps,
                        taps, stride, stride, pad,      pad,        1,         1};
    const McuConvolution depthwise = {1, 1, 1, channels, 128, -9, -101, 119};
    compare("depthwise_conv2d_s8", out_height * out_width, taps * taps, channels, [&](bool fast, uint8_t* out) {
        (fast ? mcu_depthwise_conv2d_s8 : portable_depthwise_conv2d_s8)(
            x, weight, offset, multiplier, shift, reinterpret_cast<int8_t*>(out), &window, &depthwise, scratch);
    });
    const int32_t k = taps * taps * channels;
    window.out_channels = 4;
    const McuConvolution dense = {channels, 4, k, channels, -127, -9, -128, 127};
    compare("conv2d_rows_s8", out_height * out_width, k, 4, [&](bool fast, uint8_t* out) {
        (fast ? mcu_conv2d_rows_s8 : portable_conv2d_rows_s8)(x, weight, offset, multiplier, shift,
                                                              reinterpret_cast<int8_t*>(out), &window, &dense, scratch);
    });
}

}  // namespace

int main() {
    counter_start();
    for (int32_t k = 1; k <= 19; ++k) {
        for (int32_t n = 1; n <= 9; ++n) all(1, k, n, k % 4);
    }
    for (int32_t misaligned = 0; misaligned < 4; ++misaligned) all(kRows, 33, 6, misaligned);
    all(1, 64, 64, 0);
    all(1, 256, 64, 0);
    all(2, 688, 64, 1);
    all(1, kLongest, kChannels, 0);
    for (int32_t channels : {1, 4, 7, 12}) {
        for (int32_t taps = 1; taps <= 3; ++taps) {
            for (int32_t stride = 1; stride <= 2; ++stride) convolve(6, 5, channels, taps, stride, taps - 1);
        }
    }
    print_text("done\n");
    return 0;
}
