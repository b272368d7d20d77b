#include "kernels/elementwise/convert_bool.h"

#include "kernels/elementwise/convert.h"

void mcu_convert_bool(const void* x, bool* out, int32_t n, int32_t kind) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = mcu_is_float(kind) ? mcu_float_at(x, i, kind) != 0.0f : mcu_integer_at(x, i, kind) != 0;
    }
}
