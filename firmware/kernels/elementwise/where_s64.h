// out = condition ? a : b, int64, broadcast as kernels/elementwise/where.h says; out may be a or b of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_where_s64(const bool* condition, const int64_t* a, const int64_t* b, int64_t* out,
                              const int32_t* shape, int32_t axes);
