// The cycle counter of the processor's Data Watchpoint and Trace unit: 32 bits, counting up with the core's clock.
//
// ARMv7-M Architecture Reference Manual C1.8 and ARMv8-M B13.1 (DWT_CTRL, DWT_CYCCNT), C1.6.5 (DEMCR.TRCENA). The lock
// of the Cortex-M7's is CoreSight's (DWT_LAR, Cortex-M7 Technical Reference Manual); elsewhere a write of it does
// nothing.
#include "platform/cortex_m/registers.h"
#include "platform/counter.h"

namespace {

constexpr uint32_t kControl = 0xE0001000;  // bit 0: count cycles; bit 25: there is no such counter
constexpr uint32_t kCycles = 0xE0001004;
constexpr uint32_t kLock = 0xE0001FB0;
constexpr uint32_t kUnlock = 0xC5ACCE55;
constexpr uint32_t kDebugControl = 0xE000EDFC;  // bit 24: the DWT unit is on
constexpr uint32_t kNoCycles = 1u << 25;

uint32_t overhead = 0;  // cycles between two readings with nothing between them

}  // namespace

void counter_start() {
    device_register(kDebugControl) |= 1u << 24;
    device_register(kLock) = kUnlock;
    device_register(kCycles) = 0;
    device_register(kControl) |= 1;
    const uint64_t before = counter_read();
    overhead = static_cast<uint32_t>(counter_read() - before);
}

// The counter is the processor's own: nothing but its absence could be wrong with it.
bool counter_check() { return (device_register(kControl) & (kNoCycles | 1u)) == 1; }

const char* counter_unit() { return "cycles"; }

uint64_t counter_read() { return device_register(kCycles); }

// Right for less than 2^32 cycles: 7 s at 600 MHz.
uint64_t counter_instructions(uint64_t before, uint64_t after) {
    const uint32_t count = static_cast<uint32_t>(after - before);
    return count > overhead ? count - overhead : 0;
}
