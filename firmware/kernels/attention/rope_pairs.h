// mcu::rope_pairs: as mcu_rope, of the pairs (2 i, 2 i + 1) of each row; what is behind 2 * half stays. out may be x.
// Specification: mcu_sdk/operators/reference/rope.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_rope_pairs(const float* x, const float* cosine, const float* sine, const int64_t* position,
                               float* out, int32_t rows, int32_t n, int32_t half, int32_t positions);
