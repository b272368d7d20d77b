#include "kernels/quantize/lookup_add_s16.h"

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

void mcu_lookup_add_s16(const int16_t* sum, const int8_t* x, const int16_t* table, int16_t* out, int32_t n) {
    for (; n > 0; n -= 8, sum += 8, x += 8, out += 8) {
        const mve_pred16_t lanes = vctp16q(uint32_t(n));
        const uint16x8_t index = vreinterpretq_u16_s16(vaddq_n_s16(vldrbq_z_s16(x, lanes), 128));
        const int16x8_t added = vldrhq_gather_shifted_offset_z_s16(table, index, lanes);
        vstrhq_p_s16(out, vqaddq_s16(vldrhq_z_s16(sum, lanes), added), lanes);
    }
}
#else
void mcu_lookup_add_s16(const int16_t* sum, const int8_t* x, const int16_t* table, int16_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) {
        const int32_t value = sum[i] + table[x[i] + 128];
        out[i] = int16_t(value > 32767 ? 32767 : value < -32768 ? -32768 : value);
    }
}
#endif
