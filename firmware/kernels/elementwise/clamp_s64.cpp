#include "kernels/elementwise/clamp_s64.h"

void mcu_clamp_s64(const int64_t* x, int64_t* out, int32_t n, int64_t low, int64_t high) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
