#include "kernels/elementwise/clamp_f32.h"

#include "kernels/math/math.h"

void mcu_clamp_f32(const float* x, float* out, int32_t n, float low, float high) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
