#include "kernels/math/variant.h"
#include "kernels/quantize/quantize_s16.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

// What the conversion and the addition saturate to is further than `low` and `high`, as in the portable kernel.
void mcu_quantize_s16(const float* x, int16_t* out, int32_t n, float inverse, int32_t zero_point, int32_t low,
                      int32_t high) {
    const int32x4_t floor = vdupq_n_s32(low);
    const int32x4_t ceiling = vdupq_n_s32(high);
    for (; n > 0; n -= 4, x += 4, out += 4) {
        const mve_pred16_t tail = vctp32q(uint32_t(n));
        const int32x4_t rounded = vcvtnq_s32_f32(vmulq_n_f32(vld1q_z_f32(x, tail), inverse));
        const int32x4_t value = vminq_s32(vmaxq_s32(vqaddq_n_s32(rounded, zero_point), floor), ceiling);
        vstrhq_p_s32(out, value, tail);
    }
}
#endif
