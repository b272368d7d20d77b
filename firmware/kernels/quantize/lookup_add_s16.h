// mcu::lookup_add_s16: out[i] = saturate(sum[i] + table[x[i] + 128]), table[256]. out may be sum.
// Specification: mcu_sdk/operators/reference/lookup_add.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_lookup_add_s16(const int16_t* sum, const int8_t* x, const int16_t* table, int16_t* out, int32_t n);
