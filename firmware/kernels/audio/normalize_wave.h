// mcu::normalize_wave: int16 samples as floats of mean 0 and variance 1, or, without `normalizes`, within [-1, 1).
//
// x, out[n], n <= 2^20; count[1] or nullptr: how many of them count, 0 behind them. out must not overlap an input.
// Specification: mcu_sdk/operators/reference/sound.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_normalize_wave(const int16_t* x, const int64_t* count, float* out, int32_t n, bool normalizes);
