// mcu::silu: out[i] = x[i] / (1 + e^-x[i]). out may be x.
// Specification: mcu_sdk/operators/reference/activations.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_silu(const float* x, float* out, int32_t n);
