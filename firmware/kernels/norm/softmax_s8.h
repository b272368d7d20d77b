// cortex_m::softmax over the rows of x[rows][n], n >= 1: t = (x - zero_point) scale, p = e^(t - max t) over their sum
// (in four lanes, kernels/math/math.h), out = rint(256 p) - 128, clamped to int8.
//
// Computed in float32, as the operator's Python definition says; CMSIS-NN's fixed-point one differs by up to a step.
// scratch: n floats. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_softmax_s8(const int8_t* x, int8_t* out, int32_t rows, int32_t n, float scale, int32_t zero_point,
                               void* scratch);
