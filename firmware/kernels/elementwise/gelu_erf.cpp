#include "kernels/elementwise/gelu_erf.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

void mcu_gelu_erf(const float* x, float* out, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t values = mcu_load(x + i, lanes);
        mcu_store(out + i, mcu_gelu_erf_lanes(values), lanes);
    });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_gelu_erf(x[i]);
#endif
}
