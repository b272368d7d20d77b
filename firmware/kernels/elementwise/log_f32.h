// out[i] = ln x[i]; relative error below 3e-7. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_log_f32(const float* x, float* out, int32_t n);
