// mcu::attention_s8_dynamic_shaped: mcu_attention_s8_dynamic with scores that are capped and biased, and with
// sinks, as mcu_attention_s8_shaped has them. Specification: mcu_sdk/operators/reference/attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_attention_s8_dynamic_shaped(const float* q, const int8_t* k_cache, const int8_t* v_cache,
                                                const uint16_t* k_scales, const uint16_t* v_scales,
                                                const int64_t* position, const float* bias, const float* sinks,
                                                float* out, uint8_t* scratch, int32_t heads, int32_t groups,
                                                int32_t positions, int32_t n, float scale, float cap);
