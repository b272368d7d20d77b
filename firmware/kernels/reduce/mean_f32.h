// out[outer][inner] = mean over the middle axis of x[outer][count][inner]; for inner 1 in four lanes
// (kernels/math/math.h), else in order.
#pragma once

#include <stdint.h>

extern "C" void mcu_mean_f32(const float* x, float* out, int32_t outer, int32_t count, int32_t inner, float divisor);
