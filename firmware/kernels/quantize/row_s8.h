// Quantizing a row by its greatest magnitude.
//
// mcu_row_magnitude(x, n): as mcu_greatest_magnitude. mcu_row_quantize(x, q, n, inverse): q[i] = rint(x[i] * inverse)
// for n floats, where inverse is 127 / m, the row's greatest magnitude m as above; NaNs give 0. No result lies beyond
// 127: no |x| is above m, and 127 with its two rounding errors is not yet 127.5.
#pragma once

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/quantize/row_s8_helium.h"
#else
#include "kernels/quantize/row_s8_portable.h"
#endif

// The float16 scale of a row of a KV cache: max |x| / 127, within float16's normal numbers.
static inline uint16_t mcu_row_scale(const float* x, int32_t n) {
    float scale = mcu_row_magnitude(x, n) / 127.0f;
    scale = scale > 0x1p-14f ? scale : 0x1p-14f;
    scale = scale < 65504.0f ? scale : 65504.0f;
    return mcu_to_half(scale);
}
