#include "kernels/linear/expert_linear_s8.h"

#include "kernels/linear/linear_s8.h"

void mcu_expert_linear_s8(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                          const float* bias, const int64_t* expert, float* out, const McuExperts* experts) {
    const int32_t k = experts->k, n = experts->n;
    mcu_over_experts(*experts, expert, out, [=](int32_t row, int32_t chosen, float* to) {
        mcu_linear_s8(x + row * k, x_scale + row, weight + chosen * n * k, weight_scale + chosen * n,
                      bias ? bias + chosen * n : nullptr, to, 1, k, n);
    });
}
