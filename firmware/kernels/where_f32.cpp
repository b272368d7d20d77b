#include "kernels/where_f32.h"

void mcu_where_f32(const bool* condition, const float* a, const float* b, float* out, const int32_t* shape,
                   int32_t axes) {
    int32_t index[6] = {};
    int32_t total = 1;
    for (int32_t axis = 0; axis < axes; ++axis) total *= shape[axis];
    for (int32_t element = 0; element < total; ++element) {
        int32_t at[3] = {0, 0, 0};
        for (int32_t axis = 0; axis < axes; ++axis) {
            for (int32_t which = 0; which < 3; ++which) at[which] += index[axis] * shape[(which + 1) * axes + axis];
        }
        out[element] = condition[at[0]] ? a[at[1]] : b[at[2]];
        for (int32_t axis = axes - 1; axis >= 0; --axis) {
            if (++index[axis] < shape[axis]) break;
            index[axis] = 0;
        }
    }
}
