// The SSE-300's system counter: 64 bits, counting up.
#include "platform/cortex_m/counter_clock.h"
#include "platform/cortex_m/registers.h"

namespace {
constexpr uint32_t kControl = MCU_COUNTER_CONTROL;  // bit 0: run
constexpr uint32_t kLow = MCU_COUNTER_STATUS;       // bits 31:0 of the count
constexpr uint32_t kHigh = MCU_COUNTER_STATUS + 4;
}  // namespace

void counter_clock_start() { device_register(kControl) = 1; }

uint64_t counter_clock_ticks() {
    uint32_t high = device_register(kHigh);
    for (;;) {
        const uint32_t low = device_register(kLow);
        const uint32_t again = device_register(kHigh);
        if (again == high) return static_cast<uint64_t>(high) << 32 | low;
        high = again;
    }
}
