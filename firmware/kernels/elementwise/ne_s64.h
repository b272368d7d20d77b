// out = a != b, as booleans.
// Operands broadcast as kernels/elementwise/broadcast.h says; out may be an operand of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_ne_s64(const int64_t* a, const int64_t* b, bool* out, const int32_t* shape, int32_t axes);
