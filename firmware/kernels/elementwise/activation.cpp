#include "kernels/elementwise/activation.h"

#include "kernels/math/lanes.h"

#define ACTIVATION(name, ...)                                          \
    void mcu_##name(const float* x, float* out, int32_t n) {           \
        mcu_over_lanes(x, out, n, [](auto x) { return __VA_ARGS__; }); \
    }
#define GATED(name, ...)                                                               \
    void mcu_##name(const float* gate, const float* up, float* out, int32_t n) {       \
        mcu_over_lanes(gate, up, out, n, [](auto x, auto up) { return __VA_ARGS__; }); \
    }
#include "kernels/elementwise/activation.inc"
#undef GATED
#undef ACTIVATION

void mcu_leaky_relu_f32(const float* x, float* out, int32_t n, float slope) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}
