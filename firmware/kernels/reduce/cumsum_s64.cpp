#include "kernels/reduce/cumsum_s64.h"

void mcu_cumsum_s64(const int64_t* x, int64_t* out, int32_t outer, int32_t count, int32_t inner) {
    for (int32_t o = 0; o < outer; ++o, x += count * inner, out += count * inner) {
        for (int32_t i = 0; i < inner; ++i) {
            uint64_t sum = 0;
            for (int32_t k = 0; k < count; ++k) {
                sum += uint64_t(x[k * inner + i]);
                out[k * inner + i] = int64_t(sum);
            }
        }
    }
}
