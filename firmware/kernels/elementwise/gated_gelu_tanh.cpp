#include "kernels/elementwise/gated_gelu_tanh.h"

#include "kernels/math/math.h"
#include "kernels/math/math_helium.h"

void mcu_gated_gelu_tanh(const float* gate, const float* up, float* out, int32_t n) {
#if defined(MCU_HELIUM_FLOAT)
    mcu_for_lanes(n, [=](int32_t i, auto lanes) {
        const float32x4_t x = mcu_load(gate + i, lanes);
        const float32x4_t numerator = vmulq_f32(x, mcu_load(up + i, lanes));
        mcu_store(out + i, mcu_divide_lanes(numerator, mcu_gelu_tanh_denominator_lanes(x)), lanes);
    });
#else
    for (int32_t i = 0; i < n; ++i) out[i] = (gate[i] * up[i]) / mcu_gelu_tanh_denominator(gate[i]);
#endif
}
