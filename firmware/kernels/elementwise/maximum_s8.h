// out = max(a, b), int8.
// Operands broadcast as kernels/elementwise/broadcast.h says; out may be an operand of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_maximum_s8(const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape, int32_t axes);
