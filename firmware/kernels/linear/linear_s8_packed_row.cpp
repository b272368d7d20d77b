#include "kernels/linear/linear_s8_packed_row.h"

#include "kernels/linear/linear_s8_packed.h"
#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
void mcu_linear_s8_packed_row(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                              const float* bias, float* out, int32_t k, int32_t n) {
    mcu_linear_s8_packed(x, x_scale, weight, weight_scale, bias, out, 1, k, n);
}

void mcu_linear_s8_static_packed_row(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                     const float* bias, float* out, int32_t k, int32_t n) {
    mcu_linear_s8_static_packed(x, weight, offset, scale, bias, out, 1, k, n);
}

void mcu_linear_s8_requantize_packed_row(const int8_t* x, const int8_t* weight, const int32_t* constants, int8_t* out,
                                         int32_t k, int32_t n, int32_t zero_point, int32_t low, int32_t high) {
    mcu_linear_s8_requantize_packed(x, weight, constants, out, 1, k, n, zero_point, low, high);
}
#endif
