// out[i] = whether x[i] is no number.
#pragma once

#include <stdint.h>

extern "C" void mcu_isnan_f32(const float* x, bool* out, int32_t n);
