#include "kernels/elementwise/arithmetic_f32.h"

#include "kernels/elementwise/broadcast.h"
#include "kernels/elementwise/broadcast_f32.h"
#include "kernels/math/math_extra.h"

#define ARITHMETIC(name, ...)                                                                         \
    void mcu_##name(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes) { \
        mcu_broadcast(a, b, out, shape, axes, [](float x, float y) { return __VA_ARGS__; });          \
    }
#define ON_VECTORS(name, ...)                                                                         \
    void mcu_##name(const float* a, const float* b, float* out, const int32_t* shape, int32_t axes) { \
        mcu_broadcast_f32(a, b, out, shape, axes, [](auto x, auto y) { return __VA_ARGS__; });        \
    }
#include "kernels/elementwise/arithmetic_f32.inc"
#undef ON_VECTORS
#undef ARITHMETIC
