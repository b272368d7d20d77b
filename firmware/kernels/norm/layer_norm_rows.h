// What mcu_layer_norm_s8 and mcu_layer_norm_s16 are made of: rows normalized to integers, T.
#pragma once

#include <stdint.h>

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/norm/layer_norm_helium.h"
#include "kernels/norm/layer_norm_rows_helium.h"
#else
#include "kernels/norm/layer_norm_portable.h"
#include "kernels/norm/layer_norm_rows_portable.h"
#endif

// One row, whose lane sum is `sum`.
template <typename T>
static inline void normalize_row(const float* row, float sum, const float* weight, const float* bias, T* out, int32_t n,
                                 float eps) {
    const float mean = sum / float(n);
    const float root = 1.0f / mcu_sqrtf(lane_sum_of_squares(row, n, mean) / float(n) + eps);
    apply(row, mean, root, weight, bias, out, n);
}

// Rows of float32.
template <typename T>
static inline void normalize_floats(const float* x, const float* weight, const float* bias, T* out, int32_t rows,
                                    int32_t n, float eps) {
    for (int32_t i = 0; i < rows; ++i, x += n, out += n) normalize_row(x, lane_sum(x, n), weight, bias, out, n, eps);
}

// Rows of sums of two integers each, or where y is a nullptr of x alone; `sums` holds one of them.
template <typename T>
static inline void normalize_sums(const T* x, const T* y, const float* weight, const float* bias, T* out, float* sums,
                                  int32_t rows, int32_t n, float y_ratio, float eps) {
    for (int32_t i = 0; i < rows; ++i, x += n, out += n) {
        const float sum = y ? add_rows(x, y, y_ratio, sums, n) : widen_row(x, sums, n);
        normalize_row(sums, sum, weight, bias, out, n, eps);
        if (y) y += n;
    }
}
