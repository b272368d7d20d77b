#include "kernels/elementwise/ne_f32.h"

#include "kernels/elementwise/broadcast.h"

void mcu_ne_f32(const float* a, const float* b, bool* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast(a, b, out, shape, axes, [](float x, float y) { return x != y; });
}
