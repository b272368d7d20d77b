// The console on the board's serial port, and how a run ends.
#include "platform/platform.h"

#include "platform/cortex_m/uart.h"

void platform_write(const char* bytes, int32_t count) { uart_write(bytes, count); }

int32_t platform_read() { return uart_read(); }

void platform_exit(int32_t code) {
#if MCU_SEMIHOSTING_EXIT
    constexpr uint32_t kSysExitExtended = 0x20;
    constexpr uint32_t kApplicationExit = 0x20026;
    uint32_t block[2] = {kApplicationExit, static_cast<uint32_t>(code)};
    register uint32_t operation asm("r0") = kSysExitExtended;
    register uint32_t* argument asm("r1") = block;
    asm volatile("bkpt 0xab" : "+r"(operation) : "r"(argument) : "memory");
#else
    static_cast<void>(code);
#endif
    for (;;) asm volatile("wfi");
}
