#include "kernels/elementwise/where_s64.h"

#include "kernels/elementwise/where.h"

void mcu_where_s64(const bool* condition, const int64_t* a, const int64_t* b, int64_t* out, const int32_t* shape,
                   int32_t axes) {
    mcu_where(condition, a, b, out, shape, axes);
}
