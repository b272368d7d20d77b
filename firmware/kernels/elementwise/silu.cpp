#include "kernels/elementwise/silu.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

void mcu_silu(const float* x, float* out, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t values = mcu_load(x + i, lanes);
        mcu_store(out + i, mcu_divide_lanes(values, mcu_sigmoid_denominator_lanes(values)), lanes);
    });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] / mcu_sigmoid_denominator(x[i]);
#endif
}
