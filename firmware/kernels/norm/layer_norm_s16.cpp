#include "kernels/norm/layer_norm_s16.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/norm/layer_norm_helium.h"
#include "kernels/norm/layer_norm_s16_helium.h"
#include "kernels/norm/layer_norm_s8_helium.h"
#else
#include "kernels/norm/layer_norm_portable.h"
#include "kernels/norm/layer_norm_s16_portable.h"
#include "kernels/norm/layer_norm_s8_portable.h"
#endif

static inline void normalize(const float* row, float sum, const float* weight, const float* bias, int16_t* out,
                             int32_t n, float eps) {
    const float mean = sum / float(n);
    const float root = 1.0f / mcu_sqrtf(lane_sum_of_squares(row, n, mean) / float(n) + eps);
    apply_to_s16(row, mean, root, weight, bias, out, n);
}

void mcu_layer_norm_s16(const int16_t* x, const int16_t* y, const float* weight, const float* bias, int16_t* out,
                        void* row, int32_t rows, int32_t n, float y_ratio, float eps) {
    auto* sums = static_cast<float*>(row);
    for (int32_t i = 0; i < rows; ++i, x += n, out += n) {
        const float sum = y ? add_rows(x, y, y_ratio, sums, n) : widen_row(x, sums, n);
        normalize(sums, sum, weight, bias, out, n, eps);
        if (y) y += n;
    }
}

void mcu_layer_norm_to_s16(const float* x, const float* weight, const float* bias, int16_t* out, int32_t rows,
                           int32_t n, float eps) {
    for (int32_t i = 0; i < rows; ++i, x += n, out += n) normalize(x, lane_sum(x, n), weight, bias, out, n, eps);
}
