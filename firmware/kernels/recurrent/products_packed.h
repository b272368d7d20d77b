// The products of a recurrent layer with packed weights (kernels/linear/packed_s8.h), and of each constants[groups of 8
// rows][3][8]: biases, multipliers, shifts.
#pragma once

#include "kernels/linear/linear_s8_packed.h"

struct McuPackedProducts {
    const int8_t *input, *state;
    const int32_t* constants;  // [2][groups][3][8]
    int32_t inputs, n, rows;

    // out[rows] = added[rows] + the input's product, and + the state's.
    void of_input(const int16_t* added, const int8_t* x, int16_t* out) const {
        mcu_linear_s8_add_s16_packed(added, x, input, constants, out, 1, inputs, rows);
    }
    void of_state(const int16_t* added, const int8_t* hidden, int16_t* out) const {
        mcu_linear_s8_add_s16_packed(added, hidden, state, constants + (rows + 7) / 8 * 24, out, 1, n, rows);
    }
};
