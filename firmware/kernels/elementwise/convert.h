// out[i] = x[i] in another type; x has the type `kind`.
//
// To integers, floats are rounded towards zero (a NaN is 0, what int64 cannot hold its nearest), then the low bits are
// kept. To float32, integers are rounded to nearest, ties to even. To bool: whether x[i] is not 0 (a NaN is not).
#pragma once

#include <stdint.h>

// The types as mcu_sdk/planning/emitters/aten_convert.py numbers them.
enum McuKind : int32_t { kMcuU8, kMcuS8, kMcuS16, kMcuS32, kMcuS64, kMcuF16, kMcuF32, kMcuBool };

extern "C" void mcu_convert_u8(const void* x, uint8_t* out, int32_t n, int32_t kind);
extern "C" void mcu_convert_s8(const void* x, int8_t* out, int32_t n, int32_t kind);
extern "C" void mcu_convert_s16(const void* x, int16_t* out, int32_t n, int32_t kind);
extern "C" void mcu_convert_s32(const void* x, int32_t* out, int32_t n, int32_t kind);
extern "C" void mcu_convert_s64(const void* x, int64_t* out, int32_t n, int32_t kind);
extern "C" void mcu_convert_f32(const void* x, float* out, int32_t n, int32_t kind);
extern "C" void mcu_convert_bool(const void* x, bool* out, int32_t n, int32_t kind);
