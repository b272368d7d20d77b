// NUCLEO-H743ZI: 400 MHz from the debugger's 8 MHz, caches, the memories of the second domain, USART3 on PD8 and PD9.
// Sections are those of RM0433.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/cache.h"
#include "platform/cortex_m/registers.h"

namespace {

// 6.8 PWR
constexpr uint32_t kSupplyStatus = 0x58024804, kSupply = 0x5802480C, kVoltage = 0x58024818;  // CSR1, CR3, D3CR
constexpr uint32_t kVoltageReady = 1u << 13;                                                 // ACTVOSRDY, VOSRDY

// 8.7 RCC
constexpr uint32_t kRcc = 0x58024400;
constexpr uint32_t kClockControl = kRcc + 0x00;                                             // CR
constexpr uint32_t kClockConfiguration = kRcc + 0x10;                                       // CFGR
constexpr uint32_t kDomain1 = kRcc + 0x18, kDomain2 = kRcc + 0x1C, kDomain3 = kRcc + 0x20;  // DnCFGR
constexpr uint32_t kPllSource = kRcc + 0x28;                                                // PLLCKSELR
constexpr uint32_t kPllConfiguration = kRcc + 0x2C, kPllDividers = kRcc + 0x30;             // PLLCFGR, PLL1DIVR
constexpr uint32_t kAhb2Enable = kRcc + 0xDC, kAhb4Enable = kRcc + 0xE0, kApb1Enable = kRcc + 0xE8;
constexpr uint32_t kClockOn = 1u << 16, kClockReady = 1u << 17, kBypass = 1u << 18;  // HSE
constexpr uint32_t kPllOn = 1u << 24, kPllReady = 1u << 25;

constexpr uint32_t kFlashAccess = 0x52002000;  // 4.9.1 FLASH_ACR: bits 3:0, LATENCY; bits 5:4, WRHIGHFREQ

// 11.4 GPIO port D
constexpr uint32_t kGpioD = 0x58020C00;
constexpr uint32_t kMode = kGpioD + 0x00, kPull = kGpioD + 0x0C, kAlternateHigh = kGpioD + 0x24;

void start_clocks() {
    set_field(kSupply, 7, 2);  // LDOEN; once after power-on, before the voltage can be changed
    wait_for(kSupplyStatus, kVoltageReady, kVoltageReady);
    set_field(kVoltage, 3u << 14, 3u << 14);  // VOS1
    wait_for(kVoltage, kVoltageReady, kVoltageReady);

    set_field(kClockControl, kBypass, kBypass);
    set_field(kClockControl, kClockOn, kClockOn);
    wait_for(kClockControl, kClockReady, kClockReady);
    // 8 MHz / 4 * 400 / 2: 2 MHz into the PLL, 800 MHz in it, 400 MHz out of it.
    set_field(kPllSource, 63u << 4 | 3u, 4u << 4 | 2u);                        // DIVM1, PLLSRC
    set_field(kPllConfiguration, 7u << 16 | 15u, 1u << 16 | 1u << 2);          // DIVP1EN alone, 2 to 4 MHz, wide range
    set_field(kPllDividers, 0x7Fu << 9 | 0x1FFu, (2u - 1) << 9 | (400u - 1));  // DIVP1, DIVN1
    set_field(kClockControl, kPllOn, kPllOn);
    wait_for(kClockControl, kPllReady, kPllReady);

    set_field(kFlashAccess, 0x3F, 2u | 2u << 4);
    wait_for(kFlashAccess, 15, 2);
    set_field(kDomain1, 15u << 8 | 7u << 4 | 15u, 4u << 4 | 8u);  // core whole, AHB 200 MHz, APB3 100 MHz
    set_field(kDomain2, 7u << 8 | 7u << 4, 4u << 8 | 4u << 4);    // APB1 and 2: 100 MHz
    set_field(kDomain3, 7u << 4, 4u << 4);                        // APB4: 100 MHz
    set_field(kClockConfiguration, 7, 3);                         // SW: this PLL
    wait_for(kClockConfiguration, 7u << 3, 3u << 3);
}

}  // namespace

void board_start() {
    enable_clock(kAhb2Enable, 7u << 29);  // SRAM1, 2 and 3
    // Reads ahead of time could go to external memory, which nobody set up.
    set_memory_region(0, 0x60000000, 29, Access::kNone);
    set_memory_region(1, 0x80000000, 29, Access::kNone);
    enable_memory_regions();
    enable_caches();
    start_clocks();

    enable_clock(kAhb4Enable, 1u << 3);                          // GPIOD
    enable_clock(kApb1Enable, 1u << 18);                         // USART3
    set_field(kPull, 3u << 18, 1u << 18);                        // PD9, the receiver's, pulled up
    set_field(kAlternateHigh, 0xFFu, 7u | 7u << 4);              // PD8 and PD9: AF7
    set_field(kMode, 3u << 16 | 3u << 18, 2u << 16 | 2u << 18);  // alternate function
}
