// Softmax's numerators as int8 on Helium: kernels/attention/exp_shares_s8_helium.S.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
// p[i] = mcu_exp_share(scores[i] - the greatest of them), rounded (kernels/math/math.h); returns their sum. count >= 1.
extern "C" int32_t mcu_exp_shares_s8(const float* scores, int8_t* p, int32_t count);
#endif
