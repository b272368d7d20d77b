#include "kernels/quantize/row_s8.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/quantize/row_s8_helium.h"
#else
#include "kernels/quantize/row_s8_portable.h"
#endif

// Not inlined, below: that is what this file is for.
[[gnu::noinline]] float mcu_row_magnitude(const float* x, int32_t n) { return row_magnitude(x, n); }

void mcu_row_quantize(const float* x, int8_t* q, int32_t n, float inverse) { row_quantize(x, q, n, inverse); }

[[gnu::noinline]] uint16_t mcu_row_scale(const float* x, int32_t n) {
    float scale = mcu_row_magnitude(x, n) / 127.0f;
    scale = scale > 0x1p-14f ? scale : 0x1p-14f;
    scale = scale < 65504.0f ? scale : 65504.0f;
    return mcu_to_half(scale);
}

// The float16 is positive and normal: its exponent is moved to float32's place.
float mcu_row_inverse_scale(const float* x, int32_t n) {
    return 1.0f / mcu_from_bits((uint32_t(mcu_row_scale(x, n)) << 13) + (112u << 23));
}
