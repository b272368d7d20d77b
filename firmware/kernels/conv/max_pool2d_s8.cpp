#include "kernels/conv/max_pool2d_s8.h"

#include "kernels/math/variant.h"
#include "kernels/quantize/clamp_to_s8.h"

#if defined(MCU_HELIUM)
#include <arm_mve.h>

void mcu_max_pool2d_s8(const int8_t* x, int8_t* out, const McuWindow* window, int32_t low, int32_t high) {
    const McuWindow walk = *window;
    const int8x16_t least = vdupq_n_s8(-128), floor = vdupq_n_s8(int8_t(low)), ceiling = vdupq_n_s8(int8_t(high));
    mcu_over_output(walk, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        for (int32_t c = 0; c < walk.channels; c += 16) {
            const mve_pred16_t lanes = vctp8q(uint32_t(walk.channels - c));
            int8x16_t best = least;
            mcu_over_window(walk, image, y, column,
                            [&](int32_t from, int32_t) { best = vmaxq_s8(best, vldrbq_z_s8(x + from + c, lanes)); });
            vstrbq_p_s8(out + pixel + c, vminq_s8(vmaxq_s8(best, floor), ceiling), lanes);
        }
    });
}
#else
// The greatest of each of kCount channels from c on.
template <int32_t kCount>
static inline void greatest(const McuWindow& walk, int32_t image, int32_t y, int32_t column, const int8_t* x, int32_t c,
                            int32_t low, int32_t high, int8_t* out) {
    int32_t best[kCount];
    for (int32_t& one : best) one = -128;
    mcu_over_window(walk, image, y, column, [&](int32_t from, int32_t) {
        for (int32_t i = 0; i < kCount; ++i) {
            if (x[from + c + i] > best[i]) best[i] = int32_t{x[from + c + i]};
        }
    });
    for (int32_t i = 0; i < kCount; ++i) out[c + i] = mcu_clamp_to_s8(best[i], 0, low, high);
}

void mcu_max_pool2d_s8(const int8_t* x, int8_t* out, const McuWindow* window, int32_t low, int32_t high) {
    const McuWindow walk = *window;
    mcu_over_output(walk, [&](int32_t image, int32_t y, int32_t column, int32_t pixel) {
        int32_t c = 0;  // four channels share the way over the window
        for (; c + 4 <= walk.channels; c += 4) greatest<4>(walk, image, y, column, x, c, low, high, out + pixel);
        for (; c < walk.channels; ++c) greatest<1>(walk, image, y, column, x, c, low, high, out + pixel);
    });
}
#endif
