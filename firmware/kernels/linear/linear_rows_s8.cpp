#include "kernels/linear/linear_rows_s8.h"

#include "kernels/linear/two_rows_s8.h"

void mcu_linear_rows_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                        const int32_t* shift, int8_t* out, const McuLinearRows* linear, void* scratch) {
    const McuLinearRows p = *linear;
    McuTwoRows product = {static_cast<int8_t*>(scratch),
                          weight,
                          {},
                          bias,
                          multiplier,
                          shift,
                          p.k,
                          p.n,
                          {},
                          p.step,
                          p.zero_point,
                          p.low,
                          p.high,
                          1};
    const int32_t together = mcu_two_rows_pairs(p.k), bytes = mcu_two_rows_bytes(p.k);
    for (int32_t row = 0; row < p.rows; row += 2 * product.pairs) {
        const int32_t left = (p.rows - row) / 2;
        product.pairs = left < together ? left : together;
        product.out[0] = out + row * p.n;
        product.out[1] = product.out[0] + p.n;
        const int8_t* from = x + row * p.k;
        if (left == 0) {  // the last row twice
            product.pairs = 1;
            product.out[1] = product.out[0];
            mcu_two_rows_lay_out(from, from, p.k, product.x);
        }
        for (int32_t pair = 0; left > 0 && pair < product.pairs; ++pair, from += 2 * p.k) {
            mcu_two_rows_lay_out(from, from + p.k, p.k, product.x + pair * bytes);
        }
        mcu_two_rows_s8(product);
    }
}
