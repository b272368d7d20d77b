#include "kernels/layout/fill.h"

#include <string.h>

void mcu_fill(const void* value, void* out, int32_t n, int32_t element_size) {
    auto* target = static_cast<uint8_t*>(out);
    if (element_size == 1) {
        memset(target, *static_cast<const uint8_t*>(value), size_t(n));
        return;
    }
    for (int32_t i = 0; i < n; ++i, target += element_size) memcpy(target, value, size_t(element_size));
}
