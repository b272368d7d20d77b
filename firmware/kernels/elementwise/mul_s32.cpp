#include "kernels/elementwise/mul_s32.h"

#include "kernels/elementwise/broadcast.h"

void mcu_mul_s32(const int32_t* a, const int32_t* b, int32_t* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast(a, b, out, shape, axes, [](int32_t x, int32_t y) { return int32_t(uint32_t(x) * uint32_t(y)); });
}
