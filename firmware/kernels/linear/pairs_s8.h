// Two int8 rows at a time times packed int8 weights (kernels/linear/packed_s8.h) on Helium:
// kernels/linear/pairs_s8_helium.S.
#pragma once

#include <stdint.h>

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
// Of one call: what it notes of each lies on the stack. The longest chunk of a prompt has 32 rows.
#define MCU_MOST_PAIRS 16
#define MCU_PAIRS_LONGEST 0x7FFF  // n of int8 results, whose offsets have 16 bits

// `pairs` pairs of rows, 1 ... MCU_MOST_PAIRS, times the first 4 * `quads` channels of weight, quads >= 1. Nothing
// beyond the last row's x[k - 1] is read; 1 <= k < 2^16; constants are aligned as their type.
struct McuPairs {
    const int8_t* x;        // [2 * pairs][k]
    const int8_t* weight;   // [4 * quads / 8 rounded up][k / 16 rounded up][8][16]
    const void* constants;  // requantize: int32 [group of 8][3][8]; static: offset[n]
    void* out;              // [2 * pairs][n]
    int32_t k, n, quads, pairs;
    const float* scale;              // of each channel
    const float* bias;               // of each channel, or nullptr
    const float* row_scale;          // [2 * pairs]
    int32_t zero_point, low, high;   // of int8 results
    const int16_t* added = nullptr;  // [2 * pairs][n]
};

// out = the requantized (sum + bias), plus zero_point, within [low, high]: kernels/quantize/requantize.h with shifts to
// the right alone (any where the multiplier is 0); n <= MCU_PAIRS_LONGEST.
extern "C" void mcu_pairs_s8_requantize(const McuPairs* pairs);

// out, int16, = added + the requantized (sum + bias), saturated before and after; constants and n as for int8, but n <=
// MCU_PAIRS_LONGEST / 2. out may be added.
extern "C" void mcu_pairs_s8_add_s16(const McuPairs* pairs);

// out = float(sum + offset[channel]) * scale[channel] + bias[channel].
extern "C" void mcu_pairs_s8_static(const McuPairs* pairs);

// out = (float(sum) * scale[channel]) * row_scale[row] + bias[channel].
extern "C" void mcu_pairs_s8_dynamic(const McuPairs* pairs);

// out = float(sum) * scale[0].
extern "C" void mcu_pairs_s8_scaled(const McuPairs* pairs);
#endif
