#include "kernels/recurrent/gru_s8_packed.h"

#include "kernels/recurrent/gru.h"
#include "kernels/recurrent/products_packed.h"

void mcu_gru_s8_packed(const int8_t* x, const int16_t* before, const int8_t* input_weight, const int8_t* state_weight,
                       const int32_t* constants, const int16_t* tables, int8_t* out, int16_t* state, void* scratch,
                       const McuRecurrent* recurrent) {
    const McuRecurrent p = *recurrent;
    const McuPackedProducts products = {input_weight, state_weight, constants, p.inputs, p.n, 3 * p.n};
    const McuGru layer = {before, tables, state, static_cast<int16_t*>(scratch)};
    mcu_gru(p, layer, products, x, out);
}
