#include "kernels/quantize/quantize_rows.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/quantize/quantize_rows_helium.h"
#else
#include "kernels/quantize/quantize_rows_portable.h"
#endif

void mcu_quantize_rows(const float* x, int8_t* q, float* scale, int32_t rows, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += n, q += n) {
        const float greatest = greatest_magnitude(x, n);
        quantize(x, q, n, 127.0f / greatest);
        scale[row] = greatest / 127.0f;
    }
}
