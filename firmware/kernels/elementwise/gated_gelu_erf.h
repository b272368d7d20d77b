// mcu::gated_gelu, exact form: out[i] = ((0.5 gate) (1 + erf(gate / sqrt 2))) * up. out may be gate or up.
// Specification: mcu_sdk/operators/reference/activations.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_gated_gelu_erf(const float* gate, const float* up, float* out, int32_t n);
