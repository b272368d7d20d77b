#include "kernels/elementwise/convert_s64.h"

#include "kernels/elementwise/convert.h"

void mcu_convert_s64(const void* x, int64_t* out, int32_t n, int32_t kind) {
    for (int32_t i = 0; i < n; ++i) {
        const int64_t value =
            mcu_is_float(kind) ? mcu_to_integer(mcu_float_at(x, i, kind)) : mcu_integer_at(x, i, kind);
        out[i] = int64_t(value);
    }
}
