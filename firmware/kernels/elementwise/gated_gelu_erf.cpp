#include "kernels/elementwise/gated_gelu_erf.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

void mcu_gated_gelu_erf(const float* gate, const float* up, float* out, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t x = mcu_load(gate + i, lanes);
        mcu_store(out + i, vmulq_f32(mcu_gelu_erf_lanes(x), mcu_load(up + i, lanes)), lanes);
    });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_gelu_erf(gate[i]) * up[i];
#endif
}
