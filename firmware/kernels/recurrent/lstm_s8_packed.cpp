#include "kernels/recurrent/lstm_s8_packed.h"

#include "kernels/recurrent/lstm.h"
#include "kernels/recurrent/products_packed.h"

void mcu_lstm_s8_packed(const int8_t* x, const int8_t* hidden, const int16_t* cell, const int8_t* input_weight,
                        const int8_t* state_weight, const int32_t* constants, const int16_t* tables, int8_t* out,
                        int16_t* state, void* scratch, const McuRecurrent* recurrent) {
    const McuRecurrent p = *recurrent;
    const McuPackedProducts products = {input_weight, state_weight, constants, p.inputs, p.n, 4 * p.n};
    const McuLstm layer = {hidden, cell, tables, state, static_cast<int16_t*>(scratch)};
    mcu_lstm(p, layer, products, x, out);
}
