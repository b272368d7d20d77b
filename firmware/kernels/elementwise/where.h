// out = condition ? a : b; the three operands broadcast to one output, which may be a or b of its own shape.
//
// shape holds `axes` sizes, then as many strides (in elements, 0 where an operand repeats) of condition, a and b.
#pragma once

#include <stdint.h>

extern "C" void mcu_where_f32(const bool* condition, const float* a, const float* b, float* out, const int32_t* shape,
                              int32_t axes);
extern "C" void mcu_where_s8(const bool* condition, const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape,
                             int32_t axes);
extern "C" void mcu_where_s32(const bool* condition, const int32_t* a, const int32_t* b, int32_t* out,
                              const int32_t* shape, int32_t axes);
extern "C" void mcu_where_s64(const bool* condition, const int64_t* a, const int64_t* b, int64_t* out,
                              const int32_t* shape, int32_t axes);
