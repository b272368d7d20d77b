#include "kernels/quantize/requantize_s16.h"

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/quantize/requantize_helium.h"

void mcu_requantize_s16(const int16_t* x, int8_t* out, int32_t n, int32_t multiplier, int32_t shift,
                        int32_t zero_point) {
    const int32x4_t factor = vdupq_n_s32(multiplier);
    const int32x4_t right = vdupq_n_s32(shift);
    const int32x4_t low = vdupq_n_s32(-128);
    const int32x4_t high = vdupq_n_s32(127);
    for (; n > 0; n -= 4, x += 4, out += 4) {
        const mve_pred16_t lanes = vctp32q(uint32_t(n));
        const int32x4_t value = mcu_requantize(vldrhq_z_s32(x, lanes), factor, right);
        const int32x4_t moved = vaddq_n_s32(value, zero_point);
        vstrbq_p_s32(out, vminq_s32(vmaxq_s32(moved, low), high), lanes);
    }
}
#else
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

void mcu_requantize_s16(const int16_t* x, int8_t* out, int32_t n, int32_t multiplier, int32_t shift,
                        int32_t zero_point) {
    for (int32_t i = 0; i < n; ++i)
        out[i] = mcu_clamp_to_s8(mcu_requantize(x[i], multiplier, shift), zero_point, -128, 127);
}
#endif
