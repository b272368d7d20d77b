// mcu::gelu, tanh form: out[i] = x / (1 + e^(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3). out may be x.
// Specification: mcu_sdk/operators/reference/activations.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_gelu_tanh(const float* x, float* out, int32_t n);
