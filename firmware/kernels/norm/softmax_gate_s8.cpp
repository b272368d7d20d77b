#include "kernels/norm/softmax_gate_s8.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/norm/softmax_gate_s8_helium.h"
#else
#include "kernels/norm/softmax_gate_s8_portable.h"
#endif

void mcu_softmax_gate_s8(const int8_t* x, const int8_t* scores, int8_t* out, void* terms, int32_t rows, int32_t n,
                         float score_scale, float ratio, int32_t zero_point, int32_t out_zero_point) {
    auto* numerators = static_cast<float*>(terms);
    for (int32_t row = 0; row < rows; ++row, x += n, scores += n, out += n) {
        const float sum = exponentiate(scores, greatest_score(scores, n), score_scale, numerators, n);
        multiply(x, numerators, ratio / sum, zero_point, out_zero_point, out, n);
    }
}
