// A layer of GRU, whatever its weights lie like: kernels/recurrent/gru_s8.h.
#pragma once

#include "kernels/recurrent/cells.h"

struct McuGru {
    const int16_t* before;
    const int16_t* tables;
    int16_t* state;
    int16_t* scratch;
};

// The state and h of one step from both parts of the gates, [3 * n] each.
static inline void mcu_gru_cells(const McuRecurrent& p, const int16_t* of_input, const int16_t* of_state,
                                 const int16_t* tables, int16_t* state, int8_t* h) {
    const int32_t n = p.n;
    mcu_over_cells(n, [&](auto cells, int32_t i) {
        const auto gate = [&](int32_t at) {
            return mcu_sigmoid_of(cells, tables, cells.saturate(cells.load(of_input + at) + cells.load(of_state + at)));
        };
        const auto added = cells.right(gate(i) * cells.load(of_state + 2 * n + i), 15);
        const auto angle = cells.saturate(cells.load(of_input + 2 * n + i) + added);
        const auto candidate = cells.right(mcu_tanh_of(cells, tables, angle), 15 - p.bits);
        const auto kept = cells.right(gate(n + i) * (cells.load(state + i) - candidate), 15);
        const auto next = cells.saturate(candidate + kept);
        cells.store(state + i, next);
        cells.store_s8(h + i, next, p.multiplier, p.shift);
    });
}

template <typename Products>
static inline void mcu_gru(const McuRecurrent& p, const McuGru& layer, const Products& products, const int8_t* x,
                           int8_t* out) {
    int16_t* const of_input = layer.scratch;
    int16_t* const of_state = of_input + 3 * p.n;
    int16_t* const zeros = of_state + 3 * p.n;
    auto* const first = reinterpret_cast<int8_t*>(zeros + 3 * p.n);
    mcu_clear(zeros, 3 * p.n);
    mcu_begin_states(layer.before, layer.state, p.sequences * p.n);
    for (int32_t sequence = 0; sequence < p.sequences; ++sequence) {
        int16_t* const state = layer.state + sequence * p.n;
        mcu_over_cells(p.n, [&](auto cells, int32_t i) {
            cells.store_s8(first + i, cells.load(state + i), p.multiplier, p.shift);
        });
        const int8_t* hidden = first;
        for (int32_t step = 0; step < p.steps; ++step) {
            const int32_t row = mcu_row_of_step(p, sequence, step);
            products.of_input(zeros, x + row * p.inputs, of_input);
            products.of_state(zeros, hidden, of_state);
            mcu_gru_cells(p, of_input, of_state, layer.tables, state, out + row * p.n);
            hidden = out + row * p.n;
        }
    }
}
