// A clock as a counter of instructions.
//
// A simulator that advances its clock by a fixed time per instruction (QEMU's -icount) makes the clock's ticks a
// measure of instructions: instructions = ticks * ns per tick / ns per instruction.
#include "platform/cortex_m/counter_clock.h"
#include "platform/counter.h"
#include "runtime/divide.h"

namespace {

// ticks * 1e9 / (frequency * ns per instruction): 1000 / 1024 for 32 MHz and 32 ns.
constexpr uint64_t kNumerator = 1000;
constexpr uint32_t kDenominator =
    static_cast<uint32_t>(static_cast<uint64_t>(MCU_COUNTER_HZ) / 1000 * MCU_COUNTER_INSTRUCTION_NS / 1000);
static_assert(kDenominator < 1u << 16, "the division is for small divisors");
static_assert(kDenominator >= kNumerator, "a tick has to be at least as short as an instruction");

uint64_t overhead = 0;  // instructions between two readings with nothing between them

// A tick is no longer than an instruction (checked above), so every instruction has a tick of its own, the last one
// that began before it ended: ticks = floor(n * kDenominator / kNumerator), and rounding up gives n back, exactly.
uint64_t to_instructions(uint64_t ticks) {
    uint32_t remainder;
    return divide_by_small(ticks * kNumerator + kDenominator - 1, kDenominator, &remainder);
}

}  // namespace

const char* counter_unit() { return "instructions"; }

uint64_t counter_read() { return counter_clock_ticks(); }

uint64_t counter_instructions(uint64_t before, uint64_t after) {
    const uint64_t count = to_instructions(after) - to_instructions(before);
    return count > overhead ? count - overhead : 0;
}

void counter_start() {
    counter_clock_start();
    const uint64_t first = counter_read();
    const uint64_t second = counter_read();
    overhead = to_instructions(second) - to_instructions(first);
}

bool counter_check() {
    constexpr uint32_t kIterations = 20000;  // of two instructions each
    constexpr uint32_t kTolerance = 10;      // what surrounds the loop
    uint32_t left = kIterations;
    const uint64_t before = counter_read();
    asm volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(left) : : "cc");
    const uint64_t counted = counter_instructions(before, counter_read());
    return counted + kTolerance >= 2 * kIterations && counted <= 2 * kIterations + kTolerance;
}
