#include "kernels/quantize/quantize_rows.h"

#include "kernels/quantize/row_s8.h"

void mcu_quantize_rows(const float* x, int8_t* q, float* scale, int32_t rows, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += n, q += n) {
        const float greatest = mcu_row_magnitude(x, n);
        mcu_row_quantize(x, q, n, 127.0f / greatest);
        scale[row] = greatest / 127.0f;
    }
}
