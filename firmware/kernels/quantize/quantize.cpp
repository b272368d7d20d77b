#include "kernels/quantize/quantize.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
void mcu_quantize(const float* x, int8_t* out, int32_t n, float inverse, int32_t zero_point, int32_t low,
                  int32_t high) {
    for (int32_t i = 0; i < n; ++i) {
        int32_t value = mcu_round_clamped(x[i] * inverse, -(1 << 20), 1 << 20) + zero_point;
        value = value > low ? value : low;
        out[i] = int8_t(value < high ? value : high);
    }
}
#endif
