// n bytes from one place to another that does not overlap it, inline: runs are often shorter than what a call costs.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

static inline void mcu_copy_bytes(const uint8_t* from, uint8_t* to, int32_t n) {
    const uint8_t* const end = from + (n & ~15);
    while (from != end) {
        vstrbq_u8(to, vldrbq_u8(from));
        from += 16;
        to += 16;
    }
    if ((n & 15) != 0) {
        const mve_pred16_t tail = vctp8q(uint32_t(n & 15));
        vstrbq_p_u8(to, vldrbq_z_u8(from, tail), tail);
    }
}
#else
#include <string.h>

static inline void mcu_copy_bytes(const uint8_t* from, uint8_t* to, int32_t n) { memcpy(to, from, size_t(n)); }
#endif
