#include "kernels/elementwise/compare.h"

#include "kernels/elementwise/broadcast.h"
#include "kernels/elementwise/element.h"

#define COMPARE(name, In, ...)                                                                 \
    void mcu_##name(const In* a, const In* b, bool* out, const int32_t* shape, int32_t axes) { \
        mcu_broadcast(mcu_stored(a), mcu_stored(b), out, shape, axes,                          \
                      [](McuStored<In> x, McuStored<In> y) { return __VA_ARGS__; });           \
    }
#include "kernels/elementwise/compare.inc"
#undef COMPARE
