// LPCXpresso55S69: SRAM 1 to 4 on, 96 MHz from the oscillator, flash wait states, USART0 on P0_29 and P0_30. Chapters
// are those of UM11126.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// 4 SYSCON
constexpr uint32_t kSyscon = 0x40000000;
constexpr uint32_t kGates0 = kSyscon + 0x200, kGates1 = kSyscon + 0x204, kGates2 = kSyscon + 0x208;  // AHBCLKCTRLn
constexpr uint32_t kMainClockA = kSyscon + 0x280, kMainClockB = kSyscon + 0x284;
constexpr uint32_t kFlexcomm0Clock = kSyscon + 0x2B0;  // FCCLKSEL0
constexpr uint32_t kDivider = kSyscon + 0x380;         // AHBCLKDIV
constexpr uint32_t kFlashControl = kSyscon + 0x400;    // FMCCR
constexpr uint32_t kFlashTime = 15u << 12;             // FLASHTIM: cycles of an access, less one

constexpr uint32_t kOscillator = 0x40013010;  // 13 ANACTRL, FRO192M_CTRL
constexpr uint32_t k96MHz = 1u << 30, k12MHz = 1u << 14;

// 15 IOCON
constexpr uint32_t kReceivePin = 0x40001074, kTransmitPin = 0x40001078;  // PIO0_29, PIO0_30
constexpr uint32_t kPinMask = 0x3FF, kUsart = 1u | 1u << 8;  // FUNC 1, DIGIMODE; no pull, slow, not inverted
constexpr uint32_t kPullUp = 2u << 4;

constexpr uint32_t kFlexcommFunction = 0x40086FF8;  // 35 PSELID: bits 2:0, PERSEL; 1: USART

}  // namespace

void board_start() {
    enable_clock(kGates0, 15u << 3);  // SRAM_CTRL1 to 4
    enable_clock(kGates2, 1u << 27);  // ANALOG_CTRL
    set_field(kOscillator, k96MHz | k12MHz, k96MHz | k12MHz);
    set_field(kFlashControl, kFlashTime, 7u << 12);  // 84 to 104 MHz
    set_field(kDivider, 0xFF, 0);
    set_field(kMainClockA, 7, 3);  // the oscillator's 96 MHz
    set_field(kMainClockB, 7, 0);  // main clock A

    enable_clock(kGates0, 1u << 13);  // IOCON
    set_field(kReceivePin, kPinMask, kUsart | kPullUp);
    set_field(kTransmitPin, kPinMask, kUsart);
    set_field(kFlexcomm0Clock, 7, 2);  // the oscillator's 12 MHz
    enable_clock(kGates1, 1u << 11);   // FC0
    set_field(kFlexcommFunction, 7, 1);
}
