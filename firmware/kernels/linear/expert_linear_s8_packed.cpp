#include "kernels/linear/expert_linear_s8_packed.h"

#include "kernels/linear/linear_s8_packed_row.h"
#include "kernels/linear/packed_s8.h"

void mcu_expert_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                                 const float* bias, const int64_t* expert, float* out, const McuExperts* experts) {
    const int32_t k = experts->k, n = experts->n;
    const int32_t groups = (n + MCU_PACKED_ROWS - 1) / MCU_PACKED_ROWS, channels = groups * MCU_PACKED_ROWS;
    mcu_over_experts(*experts, expert, out, [=](int32_t row, int32_t chosen, float* to) {
        mcu_linear_s8_packed_row(x + row * k, x_scale + row, weight + chosen * groups * mcu_packed_group_bytes(k),
                                 weight_scale + chosen * channels, bias ? bias + chosen * channels : nullptr, to, k, n);
    });
}
