// Activations with fused forms: the kernels of activation.inc.
#pragma once

#include <stdint.h>

#define ACTIVATION(name, ...) extern "C" void mcu_##name(const float* x, float* out, int32_t n);
#define GATED(name, ...) extern "C" void mcu_##name(const float* gate, const float* up, float* out, int32_t n);
#include "kernels/elementwise/activation.inc"
#undef GATED
#undef ACTIVATION

// out[i] = x[i] where positive, else slope * x[i]. out may be x.
extern "C" void mcu_leaky_relu_f32(const float* x, float* out, int32_t n, float slope);
