#include "kernels/conv/max_pool2d_s8.h"

#include "kernels/quantize/clamp_to_s8.h"

void mcu_max_pool2d_s8(const int8_t* x, int8_t* out, const McuWindow* window, int32_t low, int32_t high) {
    const McuWindow walk = *window;
    mcu_over_output(walk, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        for (int32_t c = 0; c < walk.channels; ++c) {
            int32_t best = -128;
            mcu_over_window(walk, image, y, column, [&](int32_t from, int32_t) {
                if (x[from + c] > best) best = int32_t{x[from + c]};
            });
            out[pixel + c] = mcu_clamp_to_s8(best, 0, low, high);
        }
    });
}
