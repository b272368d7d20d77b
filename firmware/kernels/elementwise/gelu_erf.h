// mcu::gelu, exact form: out[i] = (0.5 x) (1 + erf(x / sqrt 2)). out may be x.
// Specification: mcu_sdk/operators/reference/activations.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_gelu_erf(const float* x, float* out, int32_t n);
