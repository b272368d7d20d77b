// out = a >= b, int32.
// Operands broadcast as kernels/elementwise/broadcast.h says; out may be an operand of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_ge_s32(const int32_t* a, const int32_t* b, bool* out, const int32_t* shape, int32_t axes);
