// out[i] = erf(x[i]); absolute error below 5e-7. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_erf_f32(const float* x, float* out, int32_t n);
