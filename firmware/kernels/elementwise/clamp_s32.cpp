#include "kernels/elementwise/clamp_s32.h"

void mcu_clamp_s32(const int32_t* x, int32_t* out, int32_t n, int32_t low, int32_t high) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
