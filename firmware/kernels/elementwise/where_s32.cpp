#include "kernels/elementwise/where_s32.h"

#include "kernels/elementwise/where.h"

void mcu_where_s32(const bool* condition, const int32_t* a, const int32_t* b, int32_t* out, const int32_t* shape,
                   int32_t axes) {
    mcu_where(condition, a, b, out, shape, axes);
}
