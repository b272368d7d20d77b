// Nucleo-N657X0-Q: 64 MHz from the internal oscillator, AXISRAM3 to 6, USART1 on PE5 and PE6. Sections are those of
// RM0486; secure addresses. Not run on silicon.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// 14.10 RCC. A register that ends in S, 0x800 above another, sets bits of that one and leaves the others.
constexpr uint32_t kRcc = 0x56028000;
constexpr uint32_t kStatus = kRcc + 0x004;              // SR
constexpr uint32_t kConfiguration = kRcc + 0x020;       // CFGR1
constexpr uint32_t kOscillatorSettings = kRcc + 0x048;  // HSICFGR: bits 8:7, HSIDIV: 0, not divided
constexpr uint32_t kUartClock = kRcc + 0x174;           // CCIPR13
constexpr uint32_t kMemories = kRcc + 0x24C;            // MEMENR: bits 0 to 3, AXISRAM3 to 6
constexpr uint32_t kAhb2 = kRcc + 0x254;                // AHB2ENR: bit 12, RAMCFG
constexpr uint32_t kAhb4 = kRcc + 0x25C;                // AHB4ENR: bit 4, GPIOE
constexpr uint32_t kApb2 = kRcc + 0x26C;                // APB2ENR: bit 4, USART1
constexpr uint32_t kControl = kRcc + 0x000;             // CR
constexpr uint32_t kSet = 0x800;
constexpr uint32_t kOscillator = 1u << 3;                            // HSI, on and ready
constexpr uint32_t kCpuSource = 3u << 16, kSystemSource = 3u << 24;  // CPUSW, SYSSW: 0, HSI
constexpr uint32_t kCpuStatus = 3u << 20, kSystemStatus = 3u << 28;  // CPUSWS, SYSSWS
constexpr uint32_t kUartSource = 7, kFromOscillator = 6;             // USART1SEL

// 7.6 RAMCFG: AXISRAMxCR, bit 20, SRAMSD: shut down
constexpr uint32_t kRamControl = 0x52023100;  // of AXISRAM3; the next ones 0x80 further
constexpr uint32_t kRamStep = 0x80, kShutDown = 1u << 20;

// 12.4 GPIO port E
constexpr uint32_t kGpioE = 0x56021000;
constexpr uint32_t kMode = kGpioE + 0x00, kPull = kGpioE + 0x0C, kAlternateLow = kGpioE + 0x20;

// The read waits for the write: the clock is there when the peripheral is next touched.
void turn_on(uint32_t address, uint32_t bits) {
    device_register(address + kSet) = bits;
    [[maybe_unused]] const uint32_t value = device_register(address);
}

}  // namespace

void board_start() {
    // The boot ROM may have left the processor on a PLL.
    turn_on(kControl, kOscillator);
    wait_for(kStatus, kOscillator, kOscillator);
    set_field(kOscillatorSettings, 3u << 7, 0);
    set_field(kConfiguration, kCpuSource | kSystemSource, 0);
    wait_for(kConfiguration, kCpuStatus | kSystemStatus, 0);

    turn_on(kMemories, 0xF);
    turn_on(kAhb2, 1u << 12);
    for (uint32_t bank = 0; bank < 4; ++bank) set_field(kRamControl + bank * kRamStep, kShutDown, 0);

    set_field(kUartClock, kUartSource, kFromOscillator);
    turn_on(kAhb4, 1u << 4);
    turn_on(kApb2, 1u << 4);
    set_field(kPull, 3u << 12, 1u << 12);                        // PE6, the receiver's, pulled up
    set_field(kAlternateLow, 0xFFu << 20, 7u << 20 | 7u << 24);  // PE5 and PE6: AF7
    set_field(kMode, 3u << 10 | 3u << 12, 2u << 10 | 2u << 12);  // alternate function
}
