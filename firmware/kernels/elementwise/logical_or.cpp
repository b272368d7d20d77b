#include "kernels/elementwise/logical_or.h"

#include "kernels/elementwise/broadcast.h"

void mcu_logical_or(const bool* a, const bool* b, bool* out, const int32_t* shape, int32_t axes) {
    // Read as bytes: a byte of a corrupt model may be no valid bool.
    const auto* first = reinterpret_cast<const uint8_t*>(a);
    const auto* second = reinterpret_cast<const uint8_t*>(b);
    mcu_broadcast(first, second, out, shape, axes, [](uint8_t x, uint8_t y) { return x != 0 || y != 0; });
}
