// out[i] = condition ? a : b with the three broadcast to one shape: `shape` holds the sizes, then the strides of
// condition, a and b.
#pragma once

#include <stdint.h>

extern "C" void mcu_where_f32(const bool* condition, const float* a, const float* b, float* out, const int32_t* shape,
                              int32_t axes);
