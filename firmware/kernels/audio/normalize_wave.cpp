#include "kernels/audio/normalize_wave.h"

#include "kernels/math/math.h"

// What transformers adds to the variance, in squares of a sample's unit: 1e-7 * 2^30.
#define VARIANCE_FLOOR 107.3741824f

// a / b to the integer below; b > 0.
static inline int64_t floor_divide(int64_t a, int64_t b) {
    const int64_t down = a / b;
    return down * b > a ? down - 1 : down;
}

// Sums are exact in integers: the mean is `middle`, an integer, and `rest` / n.
static inline void normalize(const int16_t* x, float* out, int32_t n) {
    int64_t total = 0;
    for (int32_t i = 0; i < n; ++i) total += x[i];
    const auto middle = int32_t(floor_divide(total + n / 2, n));
    const float rest = float(total - int64_t(n) * middle) / float(n);
    int64_t squares = 0;
    for (int32_t i = 0; i < n; ++i) squares += int64_t(x[i] - middle) * (x[i] - middle);
    const float variance = float(squares) / float(n) - rest * rest;
    const float divisor = mcu_sqrtf((variance > 0.0f ? variance : 0.0f) + VARIANCE_FLOOR);
    for (int32_t i = 0; i < n; ++i) out[i] = (float(x[i] - middle) - rest) / divisor;
}

void mcu_normalize_wave(const int16_t* x, const int64_t* count, float* out, int32_t n, bool normalizes) {
    int32_t used = n;
    if (count && *count < n) used = *count > 0 ? int32_t(*count) : 0;
    if (!normalizes) {
        for (int32_t i = 0; i < used; ++i) out[i] = float(x[i]) * 0x1p-15f;
    } else if (used > 0) {
        normalize(x, out, used);
    }
    for (int32_t i = used; i < n; ++i) out[i] = 0.0f;
}
