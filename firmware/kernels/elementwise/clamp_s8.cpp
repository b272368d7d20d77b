#include "kernels/elementwise/clamp_s8.h"

void mcu_clamp_s8(const int8_t* x, int8_t* out, int32_t n, int8_t low, int8_t high) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
