#include "kernels/quantize/dequantize_channels.h"

void mcu_dequantize_channels(const int8_t* x, const float* scale, const int32_t* zero_point, float* out, int32_t outer,
                             int32_t channels, int32_t inner) {
    for (int32_t o = 0; o < outer; ++o) {
        for (int32_t c = 0; c < channels; ++c, x += inner, out += inner) {
            for (int32_t i = 0; i < inner; ++i) out[i] = float(x[i] - zero_point[c]) * scale[c];
        }
    }
}
