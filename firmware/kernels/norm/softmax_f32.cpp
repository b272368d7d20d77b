#include "kernels/norm/softmax_f32.h"

#include "kernels/math/math.h"
#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/norm/softmax_f32_helium.h"
#else
#include "kernels/norm/softmax_f32_portable.h"
#endif

void mcu_softmax_f32(const float* x, float* out, int32_t rows, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += n, out += n) {
        float highest = greatest(x, n);
        // A row that is masked everywhere has no finite maximum: all are alike then.
        if (highest < -3.0e38f) highest = -3.0e38f;
        divide(out, exponentiate(x, highest, out, n), n);
    }
}
