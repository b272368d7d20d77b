// out = a / b rounded towards zero, float32.
// Operands broadcast as kernels/elementwise/broadcast.h says; out may be an operand of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_div_trunc_f32(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes);
