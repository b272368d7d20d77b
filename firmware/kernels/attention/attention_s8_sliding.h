// mcu::attention_s8_sliding: as mcu_attention_s8_shaped without bias, over the slots of a cache that slides: q for the
// slots sinks .. slot, q_before for those behind, q_sinks for the first `sinks`; each [heads][n].
// Specification: mcu_sdk/operators/reference/sliding_attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_attention_s8_sliding(const float* q, const float* q_sinks, const float* q_before,
                                         const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                                         const float* v_scale, const int64_t* position, const int64_t* slot, float* out,
                                         uint8_t* scratch, int32_t heads, int32_t groups, int32_t positions, int32_t n,
                                         int32_t sinks, float scale, float cap);
