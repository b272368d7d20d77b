#include "kernels/elementwise/mul_s64.h"

#include "kernels/elementwise/broadcast.h"

void mcu_mul_s64(const int64_t* a, const int64_t* b, int64_t* out, const int32_t* shape, int32_t axes) {
    mcu_broadcast(a, b, out, shape, axes, [](int64_t x, int64_t y) {
        return static_cast<int64_t>(static_cast<uint64_t>(x) * static_cast<uint64_t>(y));
    });
}
