#include "kernels/quantize/lookup_s8.h"

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

void mcu_lookup_s8(const int8_t* x, const int8_t* table, int8_t* out, int32_t n) {
    const uint8x16_t sign = vdupq_n_u8(0x80);
    for (; n >= 16; n -= 16, x += 16, out += 16) {
        const uint8x16_t index = veorq_u8(vreinterpretq_u8_s8(vldrbq_s8(x)), sign);
        vstrbq_s8(out, vldrbq_gather_offset_s8(table, index));
    }
    if (n > 0) {
        const mve_pred16_t tail = vctp8q(uint32_t(n));
        const uint8x16_t index = veorq_u8(vreinterpretq_u8_s8(vldrbq_z_s8(x, tail)), sign);
        vstrbq_p_s8(out, vldrbq_gather_offset_z_s8(table, index, tail), tail);
    }
}
#else
void mcu_lookup_s8(const int8_t* x, const int8_t* table, int8_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = table[x[i] + 128];
}
#endif
