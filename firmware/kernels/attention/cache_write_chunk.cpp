#include "kernels/attention/cache_write_chunk.h"

#include "kernels/attention/cache_scale_write.h"
#include "kernels/attention/cache_write.h"
#include "kernels/attention/cache_write_columns.h"
#include "kernels/attention/cache_write_columns_dynamic.h"
#include "kernels/attention/cache_write_dynamic.h"

void mcu_cache_write_chunk(int8_t* cache, const float* x, const float* inverse_scale, const int64_t* position,
                           int32_t tokens, int32_t heads, int32_t positions, int32_t n) {
    for (; tokens > 0; --tokens, x += heads * n) {
        mcu_cache_write(cache, x, inverse_scale, position++, heads, positions, n);
    }
}

void mcu_cache_write_columns_chunk(int8_t* cache, const float* x, const float* inverse_scale, const int64_t* position,
                                   int32_t tokens, int32_t heads, int32_t positions, int32_t n) {
    for (; tokens > 0; --tokens, x += heads * n) {
        mcu_cache_write_columns(cache, x, inverse_scale, position++, heads, positions, n);
    }
}

void mcu_cache_write_dynamic_chunk(int8_t* cache, const float* x, const int64_t* position, int32_t tokens,
                                   int32_t heads, int32_t positions, int32_t n) {
    for (; tokens > 0; --tokens, x += heads * n) {
        mcu_cache_write_dynamic(cache, x, position++, heads, positions, n);
    }
}

void mcu_cache_write_columns_dynamic_chunk(int8_t* cache, const float* x, const int64_t* position, int32_t tokens,
                                           int32_t heads, int32_t positions, int32_t n) {
    for (; tokens > 0; --tokens, x += heads * n) {
        mcu_cache_write_columns_dynamic(cache, x, position++, heads, positions, n);
    }
}

void mcu_cache_scale_write_chunk(uint16_t* scales, const float* x, const int64_t* position, int32_t tokens,
                                 int32_t heads, int32_t positions, int32_t n) {
    for (; tokens > 0; --tokens, x += heads * n) {
        mcu_cache_scale_write(scales, x, position++, heads, positions, n);
    }
}
