#include "kernels/elementwise/maximum_s8.h"

#include "kernels/elementwise/broadcast.h"

void mcu_maximum_s8(const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast(a, b, out, shape, axes, [](int8_t x, int8_t y) { return x > y ? x : y; });
}
