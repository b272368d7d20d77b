#include "kernels/elementwise/logical_not.h"

void mcu_logical_not(const bool* x, bool* out, int32_t n) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(x);  // a byte of a corrupt model may be no valid bool
    for (int32_t i = 0; i < n; ++i) out[i] = bytes[i] == 0;
}
