#include "kernels/reduce/argmax_f32.h"

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/reduce/argmax_f32_helium.h"
#else
#include "kernels/reduce/argmax_f32_portable.h"
#endif

void mcu_argmax_f32(const float* x, int64_t* out, int32_t outer, int32_t count, int32_t inner) {
    for (int32_t o = 0; o < outer; ++o, x += count * inner) {
        for (int32_t i = 0; i < inner; ++i) *out++ = argmax(x + i, count, inner);
    }
}
