#include "kernels/quantize/quantized_div.h"

#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"

void mcu_quantized_div(const int8_t* a, const int8_t* b, int8_t* out, int32_t count, int32_t a_zero_point,
                       int32_t b_zero_point, int32_t out_zero_point, float scale) {
    for (int32_t i = 0; i < count; ++i) {
        const int32_t divisor = b[i] - b_zero_point;
        const float quotient = divisor != 0 ? float(a[i] - a_zero_point) / float(divisor) : 0.0f;
        out[i] = mcu_clamp_to_s8(mcu_round_clamped(quotient * scale, -256, 256), out_zero_point, -128, 127);
    }
}
