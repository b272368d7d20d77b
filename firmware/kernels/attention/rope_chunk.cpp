#include "kernels/attention/rope_chunk.h"

#include "kernels/attention/rope.h"
#include "kernels/attention/rope_pairs.h"

void mcu_rope_chunk(const float* x, const float* cosine, const float* sine, const int64_t* position, float* out,
                    int32_t tokens, int32_t rows, int32_t n, int32_t half, int32_t positions) {
    for (; tokens > 0; --tokens, x += rows * n, out += rows * n) {
        mcu_rope(x, cosine, sine, position++, out, rows, n, half, positions);
    }
}

void mcu_rope_pairs_chunk(const float* x, const float* cosine, const float* sine, const int64_t* position, float* out,
                          int32_t tokens, int32_t rows, int32_t n, int32_t half, int32_t positions) {
    for (; tokens > 0; --tokens, x += rows * n, out += rows * n) {
        mcu_rope_pairs(x, cosine, sine, position++, out, rows, n, half, positions);
    }
}
