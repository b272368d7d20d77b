#include "kernels/quantize_rows.h"

#include "kernels/math.h"

void mcu_quantize_rows(const float* x, int8_t* q, float* scale, int32_t rows, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += n, q += n) {
        const float greatest = mcu_greatest_magnitude(x, n);
        const float inverse = 127.0f / greatest;
        for (int32_t i = 0; i < n; ++i) q[i] = int8_t(mcu_round_clamped(x[i] * inverse, -127, 127));
        scale[row] = greatest / 127.0f;
    }
}
