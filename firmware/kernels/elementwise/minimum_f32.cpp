#include "kernels/elementwise/minimum_f32.h"

#include "kernels/elementwise/broadcast.h"

void mcu_minimum_f32(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast(a, b, out, shape, axes, [](float x, float y) { return (x < y || x != x) ? x : y; });
}
