// Functions of one element: the kernels of unary.inc.
#pragma once

#include <stdint.h>

#define UNARY(name, X, Out, ...) extern "C" void mcu_##name(const X* x, Out* out, int32_t n);
#include "kernels/elementwise/unary.inc"
#undef UNARY
