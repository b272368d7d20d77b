// Netduino Plus 2: 168 MHz from the 25 MHz crystal, flash wait states and caches, USART6 on PC6 and PC7. Sections are
// those of RM0090.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// 7.3 RCC
constexpr uint32_t kRcc = 0x40023800;
constexpr uint32_t kClockControl = kRcc + 0x00;        // CR
constexpr uint32_t kPllConfiguration = kRcc + 0x04;    // PLLCFGR
constexpr uint32_t kClockConfiguration = kRcc + 0x08;  // CFGR
constexpr uint32_t kAhb1Enable = kRcc + 0x30;          // AHB1ENR
constexpr uint32_t kApb2Enable = kRcc + 0x44;          // APB2ENR
constexpr uint32_t kOscillatorReady = 1u << 1;         // HSIRDY
constexpr uint32_t kCrystalOn = 1u << 16, kCrystalReady = 1u << 17;
constexpr uint32_t kPllOn = 1u << 24, kPllReady = 1u << 25;

// 25 MHz / M * N / P: 1 MHz into the PLL, 336 MHz in it, 168 MHz out of it. Q gives USB its 48 MHz.
constexpr uint32_t kPllMask = 0x0F437FFF;  // Q, SRC, P, N, M
constexpr uint32_t kPll = 7u << 24 | 1u << 22 | 0u << 16 | 336u << 6 | 25u;

constexpr uint32_t kDividersMask = 7u << 13 | 7u << 10 | 15u << 4;  // PPRE2, PPRE1, HPRE
constexpr uint32_t kDividers = 4u << 13 | 5u << 10;                 // APB2: 84 MHz, APB1: 42 MHz

constexpr uint32_t kFlashAccess = 0x40023C00;               // 3.9.1 FLASH_ACR
constexpr uint32_t kFiveWaitStates = 5, kCaches = 7u << 8;  // LATENCY; prefetch, instruction and data cache

// 8.4 GPIO port C
constexpr uint32_t kGpioC = 0x40020800;
constexpr uint32_t kMode = kGpioC + 0x00, kPull = kGpioC + 0x0C, kAlternateLow = kGpioC + 0x20;

void start_clocks() {
    set_field(kClockControl, kCrystalOn, kCrystalOn);
    wait_for(kClockControl, kCrystalReady, kCrystalReady);
    set_field(kPllConfiguration, kPllMask, kPll);
    set_field(kClockControl, kPllOn, kPllOn);
    wait_for(kClockControl, kPllReady, kPllReady);
    set_field(kFlashAccess, 7u | kCaches, kFiveWaitStates | kCaches);
    wait_for(kFlashAccess, 7, kFiveWaitStates);
    set_field(kClockConfiguration, kDividersMask, kDividers);
    set_field(kClockConfiguration, 3, 2);  // SW: the PLL
    wait_for(kClockConfiguration, 3u << 2, 2u << 2);
}

}  // namespace

// The oscillator that the core starts from is ready on every chip. Only a simulator without clocks says that it is not
// (QEMU reads zero from the whole RCC), and there nothing would ever get ready.
void board_start() {
    if ((device_register(kClockControl) & kOscillatorReady) != 0) start_clocks();

    // A peripheral may be used two cycles after its clock was turned on (7.2.14): GPIOC waits for USART6.
    set_field(kAhb1Enable, 1u << 2, 1u << 2);                    // GPIOC
    set_field(kApb2Enable, 1u << 5, 1u << 5);                    // USART6
    set_field(kPull, 3u << 14, 1u << 14);                        // PC7, the receiver's, pulled up
    set_field(kAlternateLow, 0xFFu << 24, 8u << 24 | 8u << 28);  // PC6 and PC7: AF8
    set_field(kMode, 3u << 12 | 3u << 14, 2u << 12 | 2u << 14);  // alternate function
}
