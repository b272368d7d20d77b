#include "kernels/linear/expert_linear_s4.h"

#include "kernels/linear/blocks_s4.h"
#include "kernels/linear/linear_s4.h"

void mcu_expert_linear_s4(const int8_t* x, const float* x_scale, const int8_t* weight, const float* bias,
                          const int64_t* expert, float* out, const McuExperts* experts) {
    const int32_t k = experts->k, n = experts->n;
    const int32_t groups = (n + MCU_S4_ROWS - 1) / MCU_S4_ROWS;
    mcu_over_experts(*experts, expert, out, [=](int32_t row, int32_t chosen, float* to) {
        mcu_linear_s4(x + row * k, x_scale + row, weight + chosen * groups * mcu_s4_group_bytes(k),
                      bias ? bias + chosen * n : nullptr, to, 1, k, n);
    });
}
