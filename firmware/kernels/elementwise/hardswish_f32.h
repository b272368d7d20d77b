// out[i] = x clamp(x + 3, 0, 6) / 6. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_hardswish_f32(const float* x, float* out, int32_t n);
