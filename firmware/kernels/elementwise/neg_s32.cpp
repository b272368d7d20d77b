#include "kernels/elementwise/neg_s32.h"

void mcu_neg_s32(const int32_t* x, int32_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = int32_t(0 - uint32_t(x[i]));
}
