// mcu::attention_s8_dynamic_sliding: as mcu_attention_s8_dynamic_shaped without bias, over slots as in
// mcu_attention_s8_sliding.
// Specification: mcu_sdk/operators/reference/sliding_attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_attention_s8_dynamic_sliding(const float* q, const float* q_sinks, const float* q_before,
                                                 const int8_t* k_cache, const int8_t* v_cache, const uint16_t* k_scales,
                                                 const uint16_t* v_scales, const int64_t* position, const int64_t* slot,
                                                 float* out, uint8_t* scratch, int32_t heads, int32_t groups,
                                                 int32_t positions, int32_t n, int32_t sinks, float scale, float cap);
