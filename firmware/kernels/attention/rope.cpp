#include "kernels/attention/rope.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/attention/rope_helium.h"
#else
#include "kernels/attention/rope_portable.h"
#endif

void mcu_rope(const float* x, const float* cosine, const float* sine, const int64_t* position, float* out, int32_t rows,
              int32_t n, int32_t half, int32_t positions) {
    int64_t p = *position;
    p = p < 0 ? 0 : p >= positions ? positions - 1 : p;
    rotate_rows(x, cosine + p * half, sine + p * half, out, rows, n, half);
    if (2 * half == n || out == x) return;
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        for (int32_t i = 2 * half; i < n; ++i) out[i] = x[i];
    }
}
