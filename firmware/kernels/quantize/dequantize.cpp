#include "kernels/quantize/dequantize.h"

#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
void mcu_dequantize(const int8_t* x, float* out, int32_t n, float scale, int32_t zero_point) {
    for (int32_t i = 0; i < n; ++i) out[i] = float(x[i] - zero_point) * scale;
}
#endif
