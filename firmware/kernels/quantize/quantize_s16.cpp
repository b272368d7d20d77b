#include "kernels/quantize/quantize_s16.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
void mcu_quantize_s16(const float* x, int16_t* out, int32_t n, float inverse, int32_t zero_point, int32_t low,
                      int32_t high) {
    constexpr int32_t kBeyond = 1 << 20;  // further than any zero point brings back
    for (int32_t i = 0; i < n; ++i) {
        const int32_t value = mcu_round_clamped(x[i] * inverse, -kBeyond, kBeyond) + zero_point;
        out[i] = int16_t(value < low ? low : value > high ? high : value);
    }
}
#endif
