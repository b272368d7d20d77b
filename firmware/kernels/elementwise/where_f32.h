// out = condition ? a : b, float32, broadcast as kernels/elementwise/where.h says; out may be a or b of its own shape.
#pragma once

#include <stdint.h>

extern "C" void mcu_where_f32(const bool* condition, const float* a, const float* b, float* out, const int32_t* shape,
                              int32_t axes);
