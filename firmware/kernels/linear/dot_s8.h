// The int8 dot product that every quantized linear and the attention are made of.
#pragma once

#include <stdint.h>

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

#include "kernels/linear/dot4_s8_helium.h"
#include "kernels/linear/dot_s8_dsp.h"

// sum a[i] * b[i] over k elements, exact in int32 for k <= 131,071. Bytes need no alignment, also in vectors.
static inline int32_t mcu_dot_s8(const int8_t* a, const int8_t* b, int32_t k) {
    int32_t sum = 0;
#if defined(__ARM_FEATURE_MVE)
    int32_t i = 0;
    for (; i + 16 <= k; i += 16) sum = vmladavaq_s8(sum, vldrbq_s8(a + i), vldrbq_s8(b + i));
    if (i < k) {
        const mve_pred16_t tail = vctp8q(uint32_t(k - i));
        sum = vmladavaq_s8(sum, vldrbq_z_s8(a + i, tail), vldrbq_z_s8(b + i, tail));
    }
#elif defined(MCU_HAS_DSP)
    sum = mcu_dot_s8_dsp(a, b, k);
#else
    for (int32_t i = 0; i < k; ++i) sum += int32_t(a[i]) * int32_t(b[i]);
#endif
    return sum;
}

// The sums of one row x[k] with the first channels of w[channels][k], channels >= 1: of four where that is faster and
// there are four, else of one. Returns how many.
static inline int32_t mcu_dots_s8(const int8_t* x, const int8_t* w, int32_t k, int32_t channels, int32_t sums[4]) {
#if defined(__ARM_FEATURE_MVE)
    if (channels >= 4) {
        mcu_dot4_s8_helium(x, w, k, k, sums);
        return 4;
    }
#elif defined(MCU_HAS_DSP)
    if (channels >= 4) {
        mcu_dot4_s8_dsp(x, w, k, sums);
        return 4;
    }
#endif
    static_cast<void>(channels);
    sums[0] = mcu_dot_s8(x, w, k);
    return 1;
}
