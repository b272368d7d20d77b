#include "kernels/elementwise/arithmetic_int.h"

#include "kernels/elementwise/broadcast.h"

#define ARITHMETIC(name, T, ...)                                                          \
    void mcu_##name(const T* a, const T* b, T* out, const int32_t* shape, int32_t axes) { \
        mcu_broadcast(a, b, out, shape, axes, [](T x, T y) -> T { return __VA_ARGS__; }); \
    }
#include "kernels/elementwise/arithmetic_int.inc"
#undef ARITHMETIC
