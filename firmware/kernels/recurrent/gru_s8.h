// mcu::gru_s8: a layer of GRU over sequences in int8, its state in int16; weights row by row.
//
// x[sequences][steps][inputs]; before[sequences][n]: the state that it begins with, or nullptr: zeros.
// input_weight[3 n][inputs], state_weight[3 n][n], gates in the order r, z, n.
// constants[2][3][3 n]: biases, multipliers and shifts of both
// products; tables[2][257].
// out[sequences][steps][n]; state[sequences][n]: the last one. scratch: 19 n bytes, 2-aligned.
// Outputs must not overlap an input. Specification: mcu_sdk/operators/reference/recurrent.py.
#pragma once

#include "kernels/recurrent/recurrent.h"

extern "C" void mcu_gru_s8(const int8_t* x, const int16_t* before, const int8_t* input_weight,
                           const int8_t* state_weight, const int32_t* constants, const int16_t* tables, int8_t* out,
                           int16_t* state, void* scratch, const McuRecurrent* recurrent);
