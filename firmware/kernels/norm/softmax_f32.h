// Softmax over the last axis of x[rows][n]: e = exp(x - max), out = e / lane_sum(e). out may be x.
// log: log-softmax is not offered.
#pragma once

#include <stdint.h>

extern "C" void mcu_softmax_f32(const float* x, float* out, int32_t rows, int32_t n);
