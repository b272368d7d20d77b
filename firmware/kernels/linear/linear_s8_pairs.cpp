#include "kernels/linear/linear_s8_pairs.h"

#include "kernels/linear/linear_s8.h"
#include "kernels/math/variant.h"

#if defined(MCU_DSP)
#include <string.h>

#include "kernels/linear/dot_s8.h"
#include "kernels/linear/epilogue.h"
#include "kernels/linear/two_rows_s8.h"

// The rows two by two as long as there are two, k >= 4: their sums into out[rows][n], then the epilogue over them.
// Returns how many rows that were.
template <typename EpilogueOf>
static inline int32_t pairs(const int8_t* x, const int8_t* weight, float* out, void* scratch, int32_t rows, int32_t k,
                            int32_t n, EpilogueOf epilogue_of) {
    if (k < 4 || n < 2) return 0;
    auto* const laid_out = static_cast<int8_t*>(scratch);
    int32_t row = 0;
    for (; row + 1 < rows; row += 2, x += 2 * k, out += 2 * n) {
        mcu_two_rows_lay_out(x, x + k, k, laid_out);
        int32_t* const sums = reinterpret_cast<int32_t*>(out);  // a float's bytes hold its sum first
        const McuTwoRowsSums product = {laid_out, weight, {sums, sums + n}, k, n};
        mcu_two_rows_sums_s8(&product);
        for (int32_t i = 0; i < 2; ++i) {
            if (n % 2 != 0) {
                const int32_t last = mcu_dot_s8(x + i * k, weight + (n - 1) * k, k);
                memcpy(out + i * n + n - 1, &last, sizeof last);
            }
            const auto epilogue = epilogue_of(row + i);
            for (int32_t c = 0; c < n; ++c) {
                int32_t sum;
                memcpy(&sum, out + i * n + c, sizeof sum);
                epilogue(McuOneSum{}, c, sum, out + i * n);
            }
        }
    }
    return row;
}

void mcu_linear_s8_pairs(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                         const float* bias, float* out, void* scratch, int32_t rows, int32_t k, int32_t n) {
    const int32_t done = pairs(x, weight, out, scratch, rows, k, n, [=](int32_t row) {
        return McuDynamicEpilogue{weight_scale, bias, x_scale[row]};
    });
    mcu_linear_s8(x + done * k, x_scale + done, weight, weight_scale, bias, out + done * n, rows - done, k, n);
}

void mcu_linear_s8_static_pairs(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                const float* bias, float* out, void* scratch, int32_t rows, int32_t k, int32_t n) {
    const int32_t done = pairs(x, weight, out, scratch, rows, k, n, [=](int32_t) {
        return McuStaticEpilogue{offset, scale, bias};
    });
    mcu_linear_s8_static(x + done * k, weight, offset, scale, bias, out + done * n, rows - done, k, n);
}
#else
void mcu_linear_s8_pairs(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                         const float* bias, float* out, void*, int32_t rows, int32_t k, int32_t n) {
    mcu_linear_s8(x, x_scale, weight, weight_scale, bias, out, rows, k, n);
}

void mcu_linear_s8_static_pairs(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                const float* bias, float* out, void*, int32_t rows, int32_t k, int32_t n) {
    mcu_linear_s8_static(x, weight, offset, scale, bias, out, rows, k, n);
}
#endif
