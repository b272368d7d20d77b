#include "kernels/elementwise/add_f32.h"

#include "kernels/elementwise/broadcast_f32.h"

void mcu_add_f32(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast_f32(a, b, out, shape, axes, [](auto x, auto y) { return x + y; });
}
