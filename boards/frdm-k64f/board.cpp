// FRDM-K64F: the watchdog off, 120 MHz from the 50 MHz that the Ethernet chip gives, UART0 on PTB16 and PTB17. Chapters
// are those of K64P144M120SF5RM.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// 24 WDOG: 16 bits
constexpr uint32_t kWatchdogControl = 0x40052000;  // STCTRLH
constexpr uint32_t kWatchdogUnlock = 0x4005200E;

// 25 MCG: 8 bits
constexpr uint32_t kC1 = 0x40064000, kC2 = 0x40064001, kC5 = 0x40064004, kC6 = 0x40064005, kStatus = 0x40064006;
constexpr uint8_t kVeryHighRange = 2u << 4;                   // C2, RANGE: 8 to 32 MHz and more from outside
constexpr uint8_t kExternalClock = 2u << 6 | 6u << 3;         // C1: CLKS from outside; FRDIV: 50 MHz / 1280 for the FLL
constexpr uint8_t kPllOut = 6u << 3;                          // C1: CLKS from the PLL
constexpr uint8_t kDivideBy20 = 19;                           // C5, PRDIV0: 2.5 MHz into the PLL
constexpr uint8_t kPllTimes48 = 1u << 6 | 24;                 // C6: PLLS, VDIV0
constexpr uint8_t kFromInside = 1u << 4, kClock = 3u << 2;    // S: IREFST, CLKST
constexpr uint8_t kPllSelected = 1u << 5, kLocked = 1u << 6;  // S: PLLST, LOCK0

// 12 SIM
constexpr uint32_t kGates4 = 0x40048034, kGates5 = 0x40048038, kDividers = 0x40048044;
constexpr uint32_t kDivisions =
    0u << 28 | 1u << 24 | 2u << 20 | 4u << 16;  // core 120, bus 60, FlexBus 40, flash 24 MHz

// 11 PORT
constexpr uint32_t kPinB16 = 0x4004A040, kPinB17 = 0x4004A044;
constexpr uint32_t kMux = 7u << 8, kUart = 3u << 8;

void wait_for_status(uint8_t mask, uint8_t value) {
    while ((device_register8(kStatus) & mask) != value) {
    }
}

}  // namespace

void board_start() {
    device_register16(kWatchdogUnlock) = 0xC520;  // 24.3.1: both within 20 cycles of the bus
    device_register16(kWatchdogUnlock) = 0xD928;
    device_register16(kWatchdogControl) = 0x01D2;  // as after reset, without WDOGEN

    set_field(kDividers, 0xFFFF0000u, kDivisions);

    // 25.5.3.1: FEI, FBE, PBE, PEE
    device_register8(kC2) = static_cast<uint8_t>((device_register8(kC2) & ~(3u << 4)) | kVeryHighRange);
    device_register8(kC1) = kExternalClock;
    wait_for_status(kFromInside | kClock, 2u << 2);
    device_register8(kC5) = kDivideBy20;
    device_register8(kC6) = kPllTimes48;
    wait_for_status(kPllSelected | kLocked, kPllSelected | kLocked);
    device_register8(kC1) = kPllOut;
    wait_for_status(kClock, 3u << 2);

    enable_clock(kGates5, 1u << 10);  // PORTB
    enable_clock(kGates4, 1u << 10);  // UART0
    set_field(kPinB16, kMux, kUart);
    set_field(kPinB17, kMux, kUart);
}
