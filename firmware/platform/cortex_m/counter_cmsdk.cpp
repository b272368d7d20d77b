// A timer of the Cortex-M System Design Kit: 32 bits, counting down from the top again and again.
#include "platform/cortex_m/counter_clock.h"
#include "platform/cortex_m/registers.h"

namespace {

constexpr uint32_t kControl = MCU_COUNTER_CONTROL;  // bit 0: run
constexpr uint32_t kValue = MCU_COUNTER_STATUS;     // what is left
constexpr uint32_t kReload = MCU_COUNTER_STATUS + 4;
constexpr uint32_t kTop = 0xFFFFFFFFu;

uint64_t elapsed = 0;
uint32_t last = kTop;

}  // namespace

// Ticks are counted from the moment of the start, whatever was read first: with n instructions since then, of r ticks
// each, QEMU has counted ceil(r n) - 1 down, from which counter_ticks.cpp gets n back for every r from 1 on.
void counter_clock_start() {
    device_register(kReload) = kTop;
    device_register(kValue) = kTop;
    device_register(kControl) = 1;
    elapsed = 0;
    last = kTop;
}

// Right as long as it is read at least once in each 2^32 ticks; one step of a model is far shorter.
uint64_t counter_clock_ticks() {
    const uint32_t now = device_register(kValue);
    elapsed += last - now;
    last = now;
    return elapsed;
}
