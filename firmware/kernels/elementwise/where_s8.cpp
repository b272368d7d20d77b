#include "kernels/elementwise/where_s8.h"

#include "kernels/elementwise/where.h"

void mcu_where_s8(const bool* condition, const int8_t* a, const int8_t* b, int8_t* out, const int32_t* shape,
                  int32_t axes) {
    mcu_where(condition, a, b, out, shape, axes);
}
