#include "kernels/math/variant.h"
#include "kernels/quantize/dequantize_s16.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

void mcu_dequantize_s16(const int16_t* x, float* out, int32_t n, float scale, int32_t zero_point) {
    for (; n >= 4; n -= 4, x += 4, out += 4) {
        vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vsubq_n_s32(vldrhq_s32(x), zero_point)), scale));
    }
    for (int32_t i = 0; i < n; ++i) out[i] = float(int32_t(x[i]) - zero_point) * scale;
}
#endif
