// Comparisons of two elements: the kernels of compare.inc.
#pragma once

#include <stdint.h>

#define COMPARE(name, In, ...) \
    extern "C" void mcu_##name(const In* a, const In* b, bool* out, const int32_t* shape, int32_t axes);
#include "kernels/elementwise/compare.inc"
#undef COMPARE
