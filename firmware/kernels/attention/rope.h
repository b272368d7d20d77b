// mcu::rope: rotate the pairs (i, i + half) of each row of x[rows][n] by the angles of a position; what is behind
// 2 * half stays. cosine and sine are tables [positions][half]; the position is clamped to them. out may be x.
// Specification: mcu_sdk/operators/reference/rope.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_rope(const float* x, const float* cosine, const float* sine, const int64_t* position, float* out,
                         int32_t rows, int32_t n, int32_t half, int32_t positions);
