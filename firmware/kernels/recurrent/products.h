// The products of a recurrent layer with weights row by row: input[rows][inputs], state[rows][n], and of each
// constants[3][rows]: biases, multipliers, shifts.
#pragma once

#include "kernels/linear/linear_s8.h"

struct McuRowProducts {
    const int8_t *input, *state;
    const int32_t* constants;  // [2][3][rows]
    int32_t inputs, n, rows;

    // out[rows] = added[rows] + the input's product, and + the state's.
    void of_input(const int16_t* added, const int8_t* x, int16_t* out) const {
        mcu_linear_s8_add_s16(added, x, input, constants, constants + rows, constants + 2 * rows, out, 1, inputs, rows);
    }
    void of_state(const int16_t* added, const int8_t* hidden, int16_t* out) const {
        const int32_t* const c = constants + 3 * rows;
        mcu_linear_s8_add_s16(added, hidden, state, c, c + rows, c + 2 * rows, out, 1, n, rows);
    }
};
