#include "kernels/elementwise/unary.h"

#include "kernels/elementwise/element.h"
#include "kernels/math/math.h"
#include "kernels/math/math_extra.h"
#include "kernels/math/trigonometry.h"

// clamp(x + 3, 0, 6) / 6.
static inline float mcu_hard_sigmoid(float x) {
    const float shifted = x + 3.0f;
    return (shifted < 0.0f ? 0.0f : shifted > 6.0f ? 6.0f : shifted) / 6.0f;
}

template <typename X, typename Out, typename Function>
static inline void over_elements(const X* x, Out* out, int32_t n, Function function) {
    for (int32_t i = 0; i < n; ++i) out[i] = function(x[i]);
}

#define UNARY(name, X, Out, ...)                                                                 \
    void mcu_##name(const X* x, Out* out, int32_t n) {                                           \
        over_elements(mcu_stored(x), out, n, [](McuStored<X> x) -> Out { return __VA_ARGS__; }); \
    }
#include "kernels/elementwise/unary.inc"
#undef UNARY
