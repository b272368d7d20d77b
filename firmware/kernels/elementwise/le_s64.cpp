#include "kernels/elementwise/le_s64.h"

#include "kernels/elementwise/broadcast.h"

void mcu_le_s64(const int64_t* a, const int64_t* b, bool* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast(a, b, out, shape, axes, [](int64_t x, int64_t y) { return x <= y; });
}
