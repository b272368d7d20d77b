#include "kernels/quantize/lookup_s8.h"

void mcu_lookup_s8(const int8_t* x, const int8_t* table, int8_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = table[x[i] + 128];
}
