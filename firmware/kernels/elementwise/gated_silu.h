// mcu::gated_silu: out[i] = (gate[i] * up[i]) / (1 + e^-gate[i]). out may be gate or up.
// Specification: mcu_sdk/operators/reference/activations.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_gated_silu(const float* gate, const float* up, float* out, int32_t n);
