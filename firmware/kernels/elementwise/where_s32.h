// out = condition ? a : b, int32, broadcast as kernels/elementwise/where.h says; out may be a or b of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_where_s32(const bool* condition, const int32_t* a, const int32_t* b, int32_t* out,
                              const int32_t* shape, int32_t axes);
