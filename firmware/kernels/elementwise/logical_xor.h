// out = a xor b, booleans.
// Operands broadcast as kernels/elementwise/broadcast.h says; out may be an operand of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_logical_xor(const bool* a, const bool* b, bool* out, const int32_t* shape, int32_t axes);
