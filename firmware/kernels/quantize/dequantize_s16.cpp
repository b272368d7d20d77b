#include "kernels/quantize/dequantize_s16.h"

#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
void mcu_dequantize_s16(const int16_t* x, float* out, int32_t n, float scale, int32_t zero_point) {
    for (int32_t i = 0; i < n; ++i) out[i] = float(int32_t(x[i]) - zero_point) * scale;
}
#endif
