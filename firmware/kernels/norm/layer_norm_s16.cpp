#include "kernels/norm/layer_norm_s16.h"

#include "kernels/norm/layer_norm_rows.h"

void mcu_layer_norm_s16(const int16_t* x, const int16_t* y, const float* weight, const float* bias, int16_t* out,
                        void* row, int32_t rows, int32_t n, float y_ratio, float eps) {
    normalize_sums(x, y, weight, bias, out, static_cast<float*>(row), rows, n, y_ratio, eps);
}

void mcu_layer_norm_to_s16(const float* x, const float* weight, const float* bias, int16_t* out, int32_t rows,
                           int32_t n, float eps) {
    normalize_floats(x, weight, bias, out, rows, n, eps);
}
