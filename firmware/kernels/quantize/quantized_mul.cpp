#include "kernels/quantize/quantized_mul.h"

#include "kernels/elementwise/broadcast.h"
#include "kernels/quantize/clamp_to_s8.h"
#include "kernels/quantize/requantize.h"

void mcu_quantized_mul(const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape, int32_t axes,
                       const McuQuantizedMul* scales) {
    const McuQuantizedMul p = *scales;
    mcu_broadcast(a, b, out, shape, axes, [&](int8_t x, int8_t y) {
        const int32_t product = (x - p.a_zero_point) * (y - p.b_zero_point);
        return mcu_clamp_to_s8(mcu_requantize(product, p.multiplier, p.shift), p.out_zero_point, -128, 127);
    });
}
