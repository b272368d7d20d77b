// cortex_m::quantized_activation, mcu::lookup_s8: out[i] = table[x[i] + 128], table[256]. out may be x.
#pragma once

#include <stdint.h>

extern "C" void mcu_lookup_s8(const int8_t* x, const int8_t* table, int8_t* out, int32_t n);
