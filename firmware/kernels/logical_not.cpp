#include "kernels/logical_not.h"

#include "kernels/math.h"

void mcu_logical_not(const bool* x, bool* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = !x[i];
}
