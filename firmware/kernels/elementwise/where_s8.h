// out = condition ? a : b, int8, broadcast as kernels/elementwise/where.h says; out may be a or b of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_where_s8(const bool* condition, const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape,
                             int32_t axes);
