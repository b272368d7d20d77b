#include "kernels/quantize/quantized_add.h"

#include "kernels/elementwise/broadcast.h"
#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

void mcu_quantized_add(const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape, int32_t axes,
                       int32_t a_zero_point, int32_t a_multiplier, int32_t a_shift, int32_t b_zero_point,
                       int32_t b_multiplier, int32_t b_shift, int32_t out_zero_point, int32_t out_multiplier,
                       int32_t out_shift, int32_t low, int32_t high) {
    constexpr int32_t kHeadroom = 1 << 20;
    mcu_broadcast(a, b, out, shape, axes, [=](int8_t x, int8_t y) {
        const int32_t first = mcu_requantize((x - a_zero_point) * kHeadroom, a_multiplier, a_shift);
        const int32_t second = mcu_requantize((y - b_zero_point) * kHeadroom, b_multiplier, b_shift);
        const int32_t sum = mcu_requantize(mcu_add_wrapping(first, second), out_multiplier, out_shift);
        return mcu_clamp_to_s8(sum, out_zero_point, low, high);
    });
}
