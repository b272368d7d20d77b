// out[i] = whether x[i] is infinite.
#pragma once

#include <stdint.h>

extern "C" void mcu_isinf_f32(const float* x, bool* out, int32_t n);
