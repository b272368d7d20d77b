#include "kernels/layout/copy.h"

#include <string.h>

#include "kernels/layout/copy_bytes.h"

void mcu_copy(const void* from, void* to, int32_t n) {
    const auto a = reinterpret_cast<uintptr_t>(from), b = reinterpret_cast<uintptr_t>(to);
    if (b - a < uintptr_t(n) || a - b < uintptr_t(n)) {
        memmove(to, from, size_t(n));
    } else {
        mcu_copy_bytes(static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to), n);
    }
}
