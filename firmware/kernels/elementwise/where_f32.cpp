#include "kernels/elementwise/where_f32.h"

#include "kernels/elementwise/where.h"

void mcu_where_f32(const bool* condition, const float* a, const float* b, float* out, const int32_t* shape,
                   int32_t axes) {
    mcu_where(condition, a, b, out, shape, axes);
}
