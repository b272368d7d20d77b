// What the recurrent layers share: their sizes, their weights, and how the sums of their gates are made.
//
// Both products of a gate are int8, each saturated to int16 in steps of 1 / 2048, as is their sum; sigmoid and tanh are
// in steps of 1 / 32768. Specification: mcu_sdk/operators/reference/recurrent.py.
#pragma once

#include <stdint.h>

// x[sequences][steps][inputs] -> out[sequences][steps][n]; states are int16 in steps of 1 / 2^bits, 0 <= bits <= 15.
// multiplier and shift make int8 of a result; backwards: the last step comes first.
struct McuRecurrent {
    int32_t sequences, steps, inputs, n;
    int32_t bits, multiplier, shift, backwards;
};

// Row `at` of the steps in their order.
static inline int32_t mcu_row_of_step(const McuRecurrent& p, int32_t sequence, int32_t step) {
    return sequence * p.steps + (p.backwards != 0 ? p.steps - 1 - step : step);
}

template <typename Value>
static inline void mcu_clear(Value* values, int32_t count) {
    for (int32_t i = 0; i < count; ++i) values[i] = 0;
}

static inline void mcu_begin_states(const int16_t* given, int16_t* state, int32_t count) {
    for (int32_t i = 0; i < count; ++i) state[i] = given ? given[i] : int16_t(0);
}
