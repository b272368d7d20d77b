#include "kernels/elementwise/neg_s64.h"

void mcu_neg_s64(const int64_t* x, int64_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = int64_t(0 - uint64_t(x[i]));
}
