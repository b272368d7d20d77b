#include "kernels/logical_and.h"

#include "kernels/broadcast.h"

void mcu_logical_and(const bool* a, const bool* b, bool* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast(a, b, out, shape, axes, [](bool x, bool y) { return x && y; });
}
