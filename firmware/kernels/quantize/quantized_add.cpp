#include "kernels/quantize/quantized_add.h"

#include "kernels/elementwise/broadcast.h"
#include "kernels/math/math.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

void mcu_quantized_add(const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape, int32_t axes,
                       const McuQuantizedAdd* scales) {
    const McuQuantizedAdd p = *scales;
    constexpr int32_t kHeadroom = 1 << 20;
    mcu_broadcast(a, b, out, shape, axes, [&](int8_t x, int8_t y) {
        const int32_t first = mcu_requantize((x - p.a_zero_point) * kHeadroom, p.a_multiplier, p.a_shift);
        const int32_t second = mcu_requantize((y - p.b_zero_point) * kHeadroom, p.b_multiplier, p.b_shift);
        const int32_t sum = mcu_requantize(mcu_add_wrapping(first, second), p.out_multiplier, p.out_shift);
        return mcu_clamp_to_s8(sum, p.out_zero_point, p.low, p.high);
    });
}
