#include "kernels/norm/layer_norm_s8.h"

#include "kernels/norm/layer_norm_rows.h"

void mcu_layer_norm_s8(const int8_t* x, const int8_t* y, const float* weight, const float* bias, int8_t* out, void* row,
                       int32_t rows, int32_t n, float y_ratio, float eps) {
    normalize_sums(x, y, weight, bias, out, static_cast<float*>(row), rows, n, y_ratio, eps);
}

void mcu_layer_norm_s16_to_s8(const int16_t* x, const float* weight, const float* bias, int8_t* out, void* row,
                              int32_t rows, int32_t n, float eps) {
    auto* wide = static_cast<float*>(row);
    for (int32_t i = 0; i < rows; ++i, x += n, out += n) {
        normalize_row(wide, widen_row(x, wide, n), weight, bias, out, n, eps);
    }
}

void mcu_layer_norm_to_s8(const float* x, const float* weight, const float* bias, int8_t* out, int32_t rows, int32_t n,
                          float eps) {
    normalize_floats(x, weight, bias, out, rows, n, eps);
}
