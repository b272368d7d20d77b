#include "kernels/elementwise/convert_f32.h"

#include "kernels/elementwise/convert.h"

void mcu_convert_f32(const void* x, float* out, int32_t n, int32_t kind) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = mcu_is_float(kind) ? mcu_float_at(x, i, kind) : float(mcu_integer_at(x, i, kind));
    }
}
