#include <string.h>

#include "kernels/linear/gemv_s8.h"
#include "kernels/linear/linear_s8_packed_row.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/linear/add_bias_helium.h"

// out[n] of one row. groups(first channel, weight, to, count) computes whole groups of eight; the last one, where only
// some of its channels are wanted, goes beside `out` first.
template <typename Out, typename Groups>
static inline void product(const int8_t* weight, Out* out, int32_t k, int32_t n, Groups groups) {
    const int32_t whole = n & ~(MCU_PACKED_ROWS - 1);
    if (whole > 0) groups(0, weight, out, whole);
    if (whole == n) return;
    Out last[MCU_PACKED_ROWS];
    groups(whole, weight + whole / MCU_PACKED_ROWS * mcu_packed_group_bytes(k), last, MCU_PACKED_ROWS);
    memcpy(out + whole, last, size_t(n - whole) * sizeof *out);
}

static inline void whole_groups(const int8_t* x, float x_scale, const int8_t* weight, const float* scale, float* out,
                                int32_t k, int32_t n) {
    const auto multiply = k > 48 ? mcu_gemv_s8_dynamic : mcu_gemv_s8_dynamic_short;
    multiply(x, weight, scale, out, out + n, k, x_scale);
}

// Not inlined, so that the usual call saves no registers.
[[gnu::noinline]] static void dynamic(const int8_t* x, float x_scale, const int8_t* weight, const float* weight_scale,
                                      const float* bias, float* out, int32_t k, int32_t n) {
    product(weight, out, k, n, [&](int32_t first, const int8_t* w, float* to, int32_t count) {
        whole_groups(x, x_scale, w, weight_scale + first, to, k, count);
    });
    if (bias) mcu_add_bias(bias, out, n);
}

void mcu_linear_s8_packed_row(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                              const float* bias, float* out, int32_t k, int32_t n) {
    if (!bias && n % MCU_PACKED_ROWS == 0) {  // a decoder's
        whole_groups(x, *x_scale, weight, weight_scale, out, k, n);
        return;
    }
    dynamic(x, *x_scale, weight, weight_scale, bias, out, k, n);
}

void mcu_linear_s8_static_packed_row(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                     const float* bias, float* out, int32_t k, int32_t n) {
    product(weight, out, k, n, [&](int32_t first, const int8_t* w, float* to, int32_t count) {
        mcu_gemv_s8_static(x, w, offset + first, scale + first, to, to + count, k);
    });
    if (bias) mcu_add_bias(bias, out, n);
}

void mcu_linear_s8_requantize_packed_row(const int8_t* x, const int8_t* weight, const int32_t* constants, int8_t* out,
                                         int32_t k, int32_t n, int32_t zero_point, int32_t low, int32_t high) {
    product(weight, out, k, n, [&](int32_t first, const int8_t* w, int8_t* to, int32_t count) {
        mcu_gemv_s8_requantize(x, w, constants + 3 * first, to, to + count, k, zero_point, low, high);
    });
}
#endif
