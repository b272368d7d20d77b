#include "kernels/norm/rms_norm.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/norm/rms_norm_helium.h"
#else
#include "kernels/norm/rms_norm_portable.h"
#endif

void mcu_rms_norm(const float* x, const float* weight, float* out, int32_t rows, int32_t n, float eps) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        const float root = 1.0f / mcu_sqrtf(sum_of_squares(x, n) / float(n) + eps);
        apply(x, root, weight, out, n);
    }
}
