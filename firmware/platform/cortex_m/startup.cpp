// From reset to main() on a Cortex-M: vector table, floating-point unit, memory, faults.
//
// The symbols with two underscores come from the linker script.
#include <stdint.h>
#include <string.h>

#include "platform/cortex_m/board.h"
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/stack.h"
#include "platform/cortex_m/uart.h"
#include "platform/platform.h"
#include "runtime/answer.h"
#include "runtime/print.h"

int main();

// A section that lies in RAM and is stored elsewhere in the image; from the linker script.
struct Copy {
    const uint8_t* from;
    uint8_t* to;
    uint32_t bytes;
};

extern "C" {
extern uint32_t __vectors[];
extern uint32_t __data_load[], __data_start[], __data_end[];
extern uint32_t __bss_start[], __bss_end[];
extern const Copy __copies_start[], __copies_end[];
#if MCU_EXECUTORCH
extern void (*const __init_array_start[])();
extern void (*const __init_array_end[])();
#endif
void Reset_Handler();
[[noreturn]] void start_after_reset();
[[noreturn]] void report_fault(const uint32_t* frame);
}

namespace {

constexpr uint32_t kVtor = 0xE000ED08;                  // where the vector table is
[[maybe_unused]] constexpr uint32_t kCcr = 0xE000ED14;  // configuration and control
constexpr uint32_t kShcsr = 0xE000ED24;                 // which faults have handlers of their own
constexpr uint32_t kCfsr = 0xE000ED28;                  // why a fault happened
constexpr uint32_t kHfsr = 0xE000ED2C;
constexpr uint32_t kMmfar = 0xE000ED34;
constexpr uint32_t kBfar = 0xE000ED38;
[[maybe_unused]] constexpr uint32_t kCpacr = 0xE000ED88;   // access to coprocessors; 10 and 11 are the FPU and Helium
[[maybe_unused]] constexpr uint32_t kFpdscr = 0xE000EF3C;  // what FPSCR becomes when a new context starts

[[maybe_unused]] constexpr uint32_t kFlushToZero = 1u << 24;
void enable_floating_point() {
#if defined(__ARM_FP)
    device_register(kCpacr) |= 0xFu << 20;
    asm volatile("dsb\n isb" ::: "memory");
    // Subnormal numbers are zero on every target: Helium flushes them in any case, so scalar code must too.
    device_register(kFpdscr) |= kFlushToZero;
    uint32_t status;
    asm volatile("vmrs %0, fpscr" : "=r"(status));
    asm volatile("vmsr fpscr, %0" : : "r"(status | kFlushToZero));
#endif
}

void enable_core_features() {
    device_register(kVtor) = reinterpret_cast<uint32_t>(__vectors);
#if defined(__ARM_FEATURE_MVE)
    device_register(kCcr) |= 1u << 19;  // the loop cache: `le` without a branch
    asm volatile("dsb\n isb" ::: "memory");
#endif
    device_register(kShcsr) |= 7u << 16;  // memory, bus and usage faults: their status says more than HardFault's
}

// Everything below the stack pointer is free now; what keeps this pattern was never used. Never inlined: the compiler
// may make vector stores of the loop, which are not allowed before enable_floating_point() has returned.
__attribute__((noinline)) void paint_stack() {
    uint32_t* pointer;
    asm volatile("mov %0, sp" : "=r"(pointer));
    // Two words at a time; the stack's limit is aligned for them.
    constexpr uint64_t kPair = uint64_t{kStackPaint} << 32 | kStackPaint;
    for (auto* pair = reinterpret_cast<uint64_t*>(__stack_limit); pair < reinterpret_cast<uint64_t*>(pointer - 8);) {
        *pair++ = kPair;
    }
    asm volatile("" ::: "memory");
}

void print_register(const char* key, uint32_t value) {
    print_text(key);
    print_hex(value, 8);
}

}  // namespace

// The arena and the KV cache are neither copied nor zeroed here: model::reset() does it before each run.
void start_after_reset() {
    enable_floating_point();
    enable_core_features();
#if MCU_BOARD_START
    board_start();
#endif
    paint_stack();
    memcpy(__data_start, __data_load, static_cast<size_t>(__data_end - __data_start) * 4);
    memset(__bss_start, 0, static_cast<size_t>(__bss_end - __bss_start) * 4);
#if MCU_COPIES
    for (const Copy* copy = __copies_start; copy != __copies_end; ++copy) memcpy(copy->to, copy->from, copy->bytes);
#endif
    uart_start();
#if MCU_EXECUTORCH
    for (auto* constructor = __init_array_start; constructor != __init_array_end; ++constructor) (*constructor)();
#endif
    platform_exit(main());
}

// Not a line of C before the stack is guarded and floating-point instructions are allowed.
__attribute__((naked)) void Reset_Handler() {
    asm volatile(
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
        "ldr r0, =__stack_limit\n"
        "msr msplim, r0\n"  // the processor itself stops a stack that grows too far
#endif
        "ldr r0, =__stack_top\n"
        "mov sp, r0\n"
        "b start_after_reset\n");
}

// `frame` is what the processor pushed: r0-r3, r12, lr, pc, xpsr. A stack overflow leaves none to trust, so the
// pointer is checked before it is read.
void report_fault(const uint32_t* frame) {
    const uint32_t why = device_register(kCfsr);
    print_text("\n@mcu verdict=error reason=");
    print_text(why & 1u << 20   ? "stack_overflow"
               : why >> 16 != 0 ? "usage_fault"
               : why >> 8 != 0  ? "bus_fault"
               : why != 0       ? "memory_fault"
                                : "hard_fault");
    const bool readable = frame >= __stack_limit && frame + 8 <= __stack_top;
    if (readable) {
        print_register(" pc=", frame[6]);
        print_register(" lr=", frame[5]);
    }
    print_register(" cfsr=", why);
    print_register(" hfsr=", device_register(kHfsr));
    if (why & 1u << 15) print_register(" address=", device_register(kBfar));
    if (why & 1u << 7) print_register(" address=", device_register(kMmfar));
    answer_end();
    platform_exit(1);
}

namespace {

// Gives the handler a fresh stack: the old one may be the reason for the fault.
__attribute__((naked)) void fault() {
    asm volatile(
        "mov r0, sp\n"
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
        "ldr r1, =__stack_limit\n"
        "msr msplim, r1\n"
#endif
        "ldr r1, =__stack_top\n"
        "mov sp, r1\n"
        "b report_fault\n");
}

}  // namespace

// 16 entries that the architecture fixes, then devices. Nothing here enables an interrupt: one that comes is a fault.
using Handler = void (*)();
struct VectorTable {
    uint32_t* stack_top;
    Handler reset;
    Handler exceptions[14];
    Handler interrupts[48];
};

#define FAULT4 fault, fault, fault, fault
#define FAULT16 FAULT4, FAULT4, FAULT4, FAULT4
extern "C" __attribute__((section(".vectors"), used)) const VectorTable vector_table = {
    __stack_top,
    Reset_Handler,
    // Zero where the architecture has no exception: boot ROMs look there for words of their own (LPC55: UM11126 10.3).
    {FAULT4, fault, fault, nullptr, nullptr, nullptr, fault, fault, nullptr, fault, fault},
    {FAULT16, FAULT16, FAULT16}};
