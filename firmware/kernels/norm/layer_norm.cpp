#include "kernels/norm/layer_norm.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/norm/layer_norm_helium.h"
#else
#include "kernels/norm/layer_norm_portable.h"
#endif

void mcu_layer_norm(const float* x, const float* weight, const float* bias, float* out, int32_t rows, int32_t n,
                    float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        const float mean = lane_sum(x, n) / float(n);
        const float root = 1.0f / mcu_sqrtf(lane_sum_of_squares(x, n, mean) / float(n) + eps);
        apply(x, mean, root, weight, bias, out, n);
    }
}
