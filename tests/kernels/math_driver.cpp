// The inline functions of kernels/math/math.h and math_extra.h over arrays, for test_math.py.
#include "kernels/math/math.h"
#include "kernels/math/math_extra.h"

extern "C" {

void mcu_test_fma(const float* a, const float* b, const float* c, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_fmaf(a[i], b[i], c[i]);
}

void mcu_test_exp(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_expf(x[i]);
}

void mcu_test_exp_share(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_exp_share(x[i]);
}

void mcu_test_erf(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_erff(x[i]);
}

void mcu_test_log(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_logf(x[i]);
}

void mcu_test_sqrt(const float* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_sqrtf(x[i]);
}

void mcu_test_round_clamped(const float* x, int32_t* out, int32_t n, int32_t low, int32_t high) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_round_clamped(x[i], low, high);
}

void mcu_test_lane_sums(const float* x, float* out, int32_t n, float offset) {
    out[0] = mcu_lane_sum(x, n);
    out[1] = mcu_lane_sum_of_squares(x, n, offset);
    out[2] = mcu_greatest_magnitude(x, n);
}

void mcu_test_from_half(const uint16_t* x, float* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_from_half(x[i]);
}

void mcu_test_to_half(const float* x, uint16_t* out, int32_t n) {
    for (int32_t i = 0; i < n; ++i) out[i] = mcu_to_half(x[i]);
}
}
