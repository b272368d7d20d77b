// mcu::attention_s8_dynamic: as mcu_attention_s8 with a float16 scale (raw bits) for each head and position:
// k_scales, v_scales[groups][positions]. Scratch: as there, and out must not be q.
// Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_attention_s8_dynamic(const float* q, const int8_t* k_cache, const int8_t* v_cache,
                                         const uint16_t* k_scales, const uint16_t* v_scales, const int64_t* position,
                                         float* out, uint8_t* scratch, int32_t heads, int32_t groups, int32_t positions,
                                         int32_t n, float scale);
