#include "kernels/linear/linear_s8.h"

#include "kernels/linear/dot_s8.h"
#include "kernels/linear/epilogue.h"

// out[rows][n] = the epilogue of x[rows][k] times weight[n][k]; epilogue_of(row) gives it.
template <typename Out, typename EpilogueOf>
static inline void linear(const int8_t* x, const int8_t* weight, Out* out, int32_t rows, int32_t k, int32_t n,
                          EpilogueOf epilogue_of) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        const auto epilogue = epilogue_of(row);
        const int8_t* w = weight;  // [n - c][k]
        for (int32_t c = 0; c < n;) {
            int32_t sums[4];
            const int32_t end = c + mcu_dots_s8(x, w, k, n - c, sums);
            w += (end - c) * k;
            mcu_over_sums(sums, c, end, [&](auto lanes, int32_t i, auto sum) { epilogue(lanes, i, sum, out); });
            c = end;
        }
    }
}

void mcu_linear_s8(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                   const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    linear(x, weight, out, rows, k, n, [=](int32_t row) {
        return McuDynamicEpilogue{weight_scale, bias, x_scale[row]};
    });
}

void mcu_linear_s8_static(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                          const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    linear(x, weight, out, rows, k, n, [=](int32_t) { return McuStaticEpilogue{offset, scale, bias}; });
}

void mcu_linear_s8_requantize(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                              const int32_t* shift, int8_t* out, int32_t rows, int32_t k, int32_t n, int32_t zero_point,
                              int32_t low, int32_t high) {
    linear(x, weight, out, rows, k, n,
           [=](int32_t) { return McuRequantizeEpilogue{bias, multiplier, shift, zero_point, low, high}; });
}

void mcu_linear_s8_add_s16(const int16_t* added, const int8_t* x, const int8_t* weight, const int32_t* bias,
                           const int32_t* multiplier, const int32_t* shift, int16_t* out, int32_t rows, int32_t k,
                           int32_t n) {
    linear(x, weight, out, rows, k, n, [=](int32_t row) {
        return McuAddEpilogue{bias, multiplier, shift, added + row * n};
    });
}

void mcu_linear_s8_per_tensor(const int8_t* x, const int8_t* weight, const int32_t* bias, int8_t* out, int32_t rows,
                              int32_t k, int32_t n, const McuRequantization* requantization) {
    const McuRequantization p = *requantization;
    linear(x, weight, out, rows, k, n,
           [=](int32_t) { return McuPerTensorEpilogue{bias, p.multiplier, p.shift, p.zero_point, p.low, p.high}; });
}
