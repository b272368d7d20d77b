// mcu::gated_gelu, tanh form: out[i] = (gate[i] * up[i]) / (1 + e^(-2u)). out may be gate or up.
// Specification: mcu_sdk/operators/reference/activations.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_gated_gelu_tanh(const float* gate, const float* up, float* out, int32_t n);
