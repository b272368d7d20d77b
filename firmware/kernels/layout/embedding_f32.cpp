#include "kernels/layout/embedding_f32.h"

#include <string.h>

void mcu_embedding_f32(const float* weight, const int64_t* ids, float* out, int32_t count, int32_t vocabulary,
                       int32_t n) {
    const size_t bytes = size_t(n) * sizeof *out;
    for (int32_t i = 0; i < count; ++i, out += n) {
        const int64_t id = ids[i];
        if (id < 0 || id >= vocabulary) {
            memset(out, 0, bytes);
        } else {
            memcpy(out, weight + id * n, bytes);
        }
    }
}
