#include "kernels/reduce/topk_f32.h"

// Whether `a` comes before `b`, which stands further left.
static inline bool is_greater(float a, float b) { return a > b || (a != a && b == b); }

void mcu_topk_f32(const float* x, float* values, int64_t* indices, int32_t rows, int32_t n, int32_t k) {
    for (int32_t row = 0; row < rows; ++row, x += n, values += k, indices += k) {
        for (int32_t i = 0; i < n; ++i) {
            int32_t place = i < k ? i : k;
            while (place > 0 && is_greater(x[i], values[place - 1])) --place;
            if (place == k) continue;
            for (int32_t j = (i < k ? i : k - 1); j > place; --j) {
                values[j] = values[j - 1];
                indices[j] = indices[j - 1];
            }
            values[place] = x[i];
            indices[place] = i;
        }
    }
}
