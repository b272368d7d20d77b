// Arithmetic of two integer elements: the kernels of arithmetic_int.inc.
#pragma once

#include <stdint.h>

#define ARITHMETIC(name, T, ...) \
    extern "C" void mcu_##name(const T* a, const T* b, T* out, const int32_t* shape, int32_t axes);
#include "kernels/elementwise/arithmetic_int.inc"
#undef ARITHMETIC
