// B-L475E-IOT01A: 80 MHz from the 16 MHz oscillator, which is trimmed well enough for a serial port, flash wait states,
// USART1 on PB6 and PB7. Sections are those of RM0351.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// 6.4 RCC
constexpr uint32_t kRcc = 0x40021000;
constexpr uint32_t kClockControl = kRcc + 0x00;                           // CR
constexpr uint32_t kClockConfiguration = kRcc + 0x08;                     // CFGR
constexpr uint32_t kPllConfiguration = kRcc + 0x0C;                       // PLLCFGR
constexpr uint32_t kAhb2Enable = kRcc + 0x4C;                             // AHB2ENR
constexpr uint32_t kApb2Enable = kRcc + 0x60;                             // APB2ENR
constexpr uint32_t kOscillatorOn = 1u << 8, kOscillatorReady = 1u << 10;  // HSI16
constexpr uint32_t kPllOn = 1u << 24, kPllReady = 1u << 25;

// 16 MHz / M * N / R: 8 MHz into the PLL, 160 MHz in it, 80 MHz out of it.
constexpr uint32_t kPllMask = 3u << 25 | 1u << 24 | 0x7Fu << 8 | 7u << 4 | 3u;  // R, REN, N, M, SRC
constexpr uint32_t kPll = 0u << 25 | 1u << 24 | 20u << 8 | 1u << 4 | 2u;

constexpr uint32_t kFlashAccess = 0x40022000;               // 3.7.1 FLASH_ACR
constexpr uint32_t kFourWaitStates = 4, kCaches = 7u << 8;  // LATENCY; prefetch, instruction and data cache

// 8.4 GPIO port B
constexpr uint32_t kGpioB = 0x48000400;
constexpr uint32_t kMode = kGpioB + 0x00, kPull = kGpioB + 0x0C, kAlternateLow = kGpioB + 0x20;

}  // namespace

void board_start() {
    set_field(kClockControl, kOscillatorOn, kOscillatorOn);
    wait_for(kClockControl, kOscillatorReady, kOscillatorReady);
    set_field(kPllConfiguration, kPllMask, kPll);
    set_field(kClockControl, kPllOn, kPllOn);
    wait_for(kClockControl, kPllReady, kPllReady);
    set_field(kFlashAccess, 7u | kCaches, kFourWaitStates | kCaches);
    wait_for(kFlashAccess, 7, kFourWaitStates);
    set_field(kClockConfiguration, 3, 3);  // SW: the PLL
    wait_for(kClockConfiguration, 3u << 2, 3u << 2);

    enable_clock(kAhb2Enable, 1u << 1);                          // GPIOB
    enable_clock(kApb2Enable, 1u << 14);                         // USART1
    set_field(kPull, 3u << 14, 1u << 14);                        // PB7, the receiver's, pulled up
    set_field(kAlternateLow, 0xFFu << 24, 7u << 24 | 7u << 28);  // PB6 and PB7: AF7
    set_field(kMode, 3u << 12 | 3u << 14, 2u << 12 | 2u << 14);  // alternate function
}
