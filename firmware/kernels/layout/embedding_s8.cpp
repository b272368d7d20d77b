#include "kernels/layout/embedding_s8.h"

#include <string.h>

#include "kernels/quantize/scale_s8.h"

void mcu_embedding_s8(const int8_t* weight, const float* scale, const int64_t* ids, float* out, int32_t count,
                      int32_t vocabulary, int32_t n) {
    for (int32_t i = 0; i < count; ++i, out += n) {
        const int64_t id = ids[i];
        if (id < 0 || id >= vocabulary) {
            memset(out, 0, size_t(n) * sizeof *out);
            continue;
        }
        const int8_t* row = weight + id * n;  // [n]
        mcu_scale_s8(row, out, n, scale[id]);
    }
}
