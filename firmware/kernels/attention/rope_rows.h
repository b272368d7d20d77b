// mcu::rope_rows and mcu::rope_rows_s8: rotary position embedding of a whole sequence, by table.
//
// x, out[positions][heads][n]; cosine, sine[positions][half], 2 * half <= n. The pairs (i * step, i * step + apart) of
// each head's row are rotated: step 1 and apart half, or 2 and 1. What is behind them stays. out may be x.
// Of int8, zero points 0: results are multiplied by `ratio`, the scale of x over that of out.
// Specification: mcu_sdk/operators/reference/rope_rows.py.
#pragma once

#include <stdint.h>

struct McuRopeRows {
    int32_t positions, heads, n, half, step, apart;
    float ratio;
};

extern "C" void mcu_rope_rows(const float* x, const float* cosine, const float* sine, float* out,
                              const McuRopeRows* rotation);
extern "C" void mcu_rope_rows_s8(const int8_t* x, const float* cosine, const float* sine, int8_t* out,
                                 const McuRopeRows* rotation);
