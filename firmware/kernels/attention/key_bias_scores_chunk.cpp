#include "kernels/attention/key_bias_scores_chunk.h"

#include "kernels/attention/key_bias_scores.h"

void mcu_key_bias_scores_chunk(const float* q, const float* table, const int32_t* columns, const int64_t* position,
                               float* out, int32_t tokens, int32_t heads, int32_t groups, int32_t channels,
                               int32_t positions, int32_t n, float scale) {
    for (; tokens > 0; --tokens, q += heads * n, out += heads * positions) {
        mcu_key_bias_scores(q, table, columns, position++, out, heads, groups, channels, positions, n, scale);
    }
}
