#include "kernels/linear/linear_rows_s8.h"

#include "kernels/linear/two_rows_s8.h"

// Lays `pairs` pairs of rows out that lie one behind the other, x[2 * pairs][k], at `to` if they have to be moved;
// returns where they lie.
static inline const int8_t* lay_out(const int8_t* x, int32_t k, int32_t pairs, int8_t* to) {
#if defined(MCU_HELIUM)
    if (k == 16) return x;  // they are as they should be
    if (k < 16) {
        const mve_pred16_t some = vctp8q(uint32_t(k));
        for (int8_t* at = to; pairs > 0; --pairs, x += 2 * k, at += MCU_TWO_ROWS_BLOCK) {
            vstrbq_s8(at, vldrbq_z_s8(x, some));
            vstrbq_s8(at + 16, vldrbq_z_s8(x + k, some));
        }
        return to;
    }
#endif
    const int32_t bytes = mcu_two_rows_bytes(k);
    for (int8_t* at = to; pairs > 0; --pairs, x += 2 * k, at += bytes) mcu_two_rows_lay_out(x, x + k, k, at);
    return to;
}

void mcu_linear_rows_s8(const int8_t* x, const int8_t* weight, const int32_t* bias, const int32_t* multiplier,
                        const int32_t* shift, int8_t* out, const McuLinearRows* linear, void* scratch) {
    const McuLinearRows p = *linear;
    auto* const laid_out = static_cast<int8_t*>(scratch);
    McuTwoRows product = {nullptr, weight, {},     bias,         multiplier, shift,  p.k,
                          p.n,     {},     p.step, p.zero_point, p.low,      p.high, 1};
    const int32_t together = mcu_two_rows_pairs(p.k);
    for (int32_t row = 0; row < p.rows; row += 2 * product.pairs) {
        const int32_t left = (p.rows - row) / 2;
        product.pairs = left < together ? left : together;
        product.out[0] = out + row * p.n;
        product.out[1] = product.out[0] + p.n;
        const int8_t* const from = x + row * p.k;
        if (left == 0) {  // the last row twice
            product.pairs = 1;
            product.out[1] = product.out[0];
            product.x = laid_out;
            mcu_two_rows_lay_out(from, from, p.k, laid_out);
        } else {
            product.x = lay_out(from, p.k, product.pairs, laid_out);
        }
        mcu_two_rows_s8(product);
    }
}
