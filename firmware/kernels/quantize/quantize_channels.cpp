#include "kernels/quantize/quantize_channels.h"

#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"

void mcu_quantize_channels(const float* x, const float* inverse, const int32_t* zero_point, int8_t* out, int32_t outer,
                           int32_t channels, int32_t inner, int32_t low, int32_t high) {
    for (int32_t o = 0; o < outer; ++o) {
        for (int32_t c = 0; c < channels; ++c, x += inner, out += inner) {
            for (int32_t i = 0; i < inner; ++i) {
                const int32_t value = mcu_round_clamped(x[i] * inverse[c], -(1 << 20), 1 << 20);
                out[i] = mcu_clamp_to_s8(value, zero_point[c], low, high);
            }
        }
    }
}
