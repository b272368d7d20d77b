#include "kernels/conv/avg_pool2d_s8.h"

#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"

void mcu_avg_pool2d_s8(const int8_t* x, int8_t* out, const McuWindow* window, int32_t zero_point, float scale) {
    const McuWindow walk = *window;
    mcu_over_output(walk, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        for (int32_t c = 0; c < walk.channels; ++c) {
            float sum = 0.0f;
            int32_t count = 0;
            mcu_over_window(walk, image, y, column, [&](int32_t from, int32_t) {
                sum += float(x[from + c] - zero_point) * scale;
                ++count;
            });
            const int32_t mean = count != 0 ? mcu_round_clamped(sum / float(count) / scale, -256, 256) : 0;
            out[pixel + c] = mcu_clamp_to_s8(mean, zero_point, -128, 127);
        }
    });
}
