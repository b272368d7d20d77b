#include <string.h>

#include "kernels/linear/blocks_s4.h"
#include "kernels/linear/gemv_s4.h"
#include "kernels/linear/linear_s4.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/linear/add_bias_helium.h"

void mcu_linear_s4(const int8_t* x, const float* x_scale, const int8_t* weight, const float* bias, float* out,
                   int32_t rows, int32_t k, int32_t n) {
    const int32_t whole = n & ~(MCU_S4_ROWS - 1);
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        if (whole > 0) mcu_gemv_s4(x, weight, out, out + whole, k, x_scale[row]);
        if (whole < n) {  // of the last group only some channels are wanted
            float last[MCU_S4_ROWS];
            const int8_t* blocks = weight + whole / MCU_S4_ROWS * mcu_s4_group_bytes(k);
            mcu_gemv_s4(x, blocks, last, last + MCU_S4_ROWS, k, x_scale[row]);
            memcpy(out + whole, last, size_t(n - whole) * sizeof *out);
        }
        if (bias) mcu_add_bias(bias, out, n);
    }
}
#endif
