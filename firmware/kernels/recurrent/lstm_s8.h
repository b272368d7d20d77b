// mcu::lstm_s8: a layer of LSTM over sequences in int8, its cells in int16; weights row by row.
//
// x[sequences][steps][inputs]; hidden[sequences][n] of int8 and cell of int16, or nullptr: zeros.
// input_weight[4 n][inputs], state_weight[4 n][n], gates in the order i, f, g, o.
// constants[2][3][4 n]: biases, multipliers and shifts of both
// products; tables[2][257].
// out[sequences][steps][n]; state[sequences][n]: the last cells. scratch: 16 n bytes, 2-aligned.
// Outputs must not overlap an input. Specification: mcu_sdk/operators/reference/recurrent.py.
#pragma once

#include "kernels/recurrent/recurrent.h"

extern "C" void mcu_lstm_s8(const int8_t* x, const int8_t* hidden, const int16_t* cell, const int8_t* input_weight,
                            const int8_t* state_weight, const int32_t* constants, const int16_t* tables, int8_t* out,
                            int16_t* state, void* scratch, const McuRecurrent* recurrent);
