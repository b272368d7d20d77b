// Arithmetic of two float32 elements: the kernels of arithmetic_f32.inc.
#pragma once

#include <stdint.h>

#define ARITHMETIC(name, ...) \
    extern "C" void mcu_##name(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes);
#define ON_VECTORS ARITHMETIC
#include "kernels/elementwise/arithmetic_f32.inc"
#undef ON_VECTORS
#undef ARITHMETIC
