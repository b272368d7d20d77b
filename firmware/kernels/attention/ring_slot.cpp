#include "kernels/attention/ring_slot.h"

void mcu_ring_slot(const int64_t* position, int64_t* out, int32_t count, int32_t sinks, int32_t length) {
    for (int32_t i = 0; i < count; ++i) {
        const int64_t p = position[i];
        out[i] = p < length ? p : sinks + (p - sinks) % (length - sinks);
    }
}
