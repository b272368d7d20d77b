#include "kernels/attention/attention_s8_chunk.h"

#include "kernels/attention/attention_s8.h"
#include "kernels/attention/attention_s8_shaped.h"

void mcu_attention_s8_chunk(const float* q, const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                            const float* v_scale, const int64_t* position, float* out, uint8_t* scratch, int32_t tokens,
                            int32_t heads, int32_t groups, int32_t positions, int32_t n, float scale) {
    for (; tokens > 0; --tokens, q += heads * n, out += heads * n) {
        mcu_attention_s8(q, k_cache, v_cache, k_scale, v_scale, position++, out, scratch, heads, groups, positions, n,
                         scale);
    }
}

void mcu_attention_s8_shaped_chunk(const float* q, const int8_t* k_cache, const int8_t* v_cache, const float* k_scale,
                                   const float* v_scale, const int64_t* position, const float* bias, const float* sinks,
                                   float* out, uint8_t* scratch, int32_t tokens, int32_t bias_step, int32_t heads,
                                   int32_t groups, int32_t positions, int32_t n, float scale, float cap) {
    for (; tokens > 0; --tokens, q += heads * n, out += heads * n) {
        mcu_attention_s8_shaped(q, k_cache, v_cache, k_scale, v_scale, position++, bias, sinks, out, scratch, heads,
                                groups, positions, n, scale, cap);
        if (bias != nullptr) bias += bias_step;
    }
}
