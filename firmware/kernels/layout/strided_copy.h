// Elements of 1, 2, 4 or 8 bytes from one walk to another: permutations, slices, expansions, concatenations.
//
// table holds `axes` sizes (at most 6), then as many strides in elements of `from`, then of `to`. Both pointers are
// multiples of the element's size. The two must not overlap.
#pragma once

#include <stdint.h>

extern "C" void mcu_strided_copy(const void* from, void* to, const int32_t* table, int32_t axes, int32_t element_size);
