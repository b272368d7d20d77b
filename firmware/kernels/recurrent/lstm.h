// A layer of LSTM, whatever its weights lie like: kernels/recurrent/lstm_s8.h.
#pragma once

#include "kernels/recurrent/cells.h"

struct McuLstm {
    const int8_t* hidden;
    const int16_t* cell;
    const int16_t* tables;
    int16_t* state;
    int16_t* scratch;
};

// The cells and h of one step from gates[4 * n].
static inline void mcu_lstm_cells(const McuRecurrent& p, const int16_t* gates, const int16_t* tables, int16_t* state,
                                  int8_t* h) {
    const int32_t n = p.n;
    mcu_over_cells(n, [&](auto cells, int32_t i) {
        const auto input = mcu_sigmoid_of(cells, tables, cells.load(gates + i));
        const auto forget = mcu_sigmoid_of(cells, tables, cells.load(gates + n + i));
        const auto candidate = mcu_tanh_of(cells, tables, cells.load(gates + 2 * n + i));
        const auto output = mcu_sigmoid_of(cells, tables, cells.load(gates + 3 * n + i));
        const auto kept = cells.right(forget * cells.load(state + i), 15);
        const auto cell = cells.saturate(kept + cells.right(input * candidate, 30 - p.bits));
        cells.store(state + i, cell);
        const auto angle = p.bits > 11 ? cells.right(cell, p.bits - 11) : cells.saturate(cells.left(cell, 11 - p.bits));
        const auto result = cells.right(output * mcu_tanh_of(cells, tables, angle), 15);
        cells.store_s8(h + i, result, p.multiplier, p.shift);
    });
}

template <typename Products>
static inline void mcu_lstm(const McuRecurrent& p, const McuLstm& layer, const Products& products, const int8_t* x,
                            int8_t* out) {
    int16_t* const gates = layer.scratch;
    int16_t* const zeros = gates + 4 * p.n;
    mcu_clear(zeros, 4 * p.n);
    mcu_begin_states(layer.cell, layer.state, p.sequences * p.n);
    for (int32_t sequence = 0; sequence < p.sequences; ++sequence) {
        const int8_t* before = layer.hidden ? layer.hidden + sequence * p.n : reinterpret_cast<int8_t*>(zeros);
        for (int32_t step = 0; step < p.steps; ++step) {
            const int32_t row = mcu_row_of_step(p, sequence, step);
            products.of_input(zeros, x + row * p.inputs, gates);
            products.of_state(gates, before, gates);
            before = out + row * p.n;
            mcu_lstm_cells(p, gates, layer.tables, layer.state + sequence * p.n, out + row * p.n);
        }
    }
}
