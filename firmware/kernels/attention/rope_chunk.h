// Rotary embedding of a chunk of a prompt: mcu::rope and mcu::rope_pairs where there are several positions.
//
// x[tokens][rows][n], position[tokens] -> out[tokens][rows][n]: each token's rows as mcu_rope and mcu_rope_pairs turn
// them, bit for bit. Specification: mcu_sdk/operators/reference/rope.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_rope_chunk(const float* x, const float* cosine, const float* sine, const int64_t* position,
                               float* out, int32_t tokens, int32_t rows, int32_t n, int32_t half, int32_t positions);

extern "C" void mcu_rope_pairs_chunk(const float* x, const float* cosine, const float* sine, const int64_t* position,
                                     float* out, int32_t tokens, int32_t rows, int32_t n, int32_t half,
                                     int32_t positions);
