// Pico 2: 150 MHz from the 12 MHz crystal, UART0 on GP0 and GP1, and what the boot ROM looks for. Sections are those of
// the RP2350 datasheet.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

// 5.9.5.1, the smallest IMAGE_DEF: start, image type (executable, secure, Arm, RP2350), last item, no further block,
// end. The vector table is where the image begins.
extern "C" __attribute__((section(".boot_header"), used))
const uint32_t image_definition[] = {0xFFFFDED3, 0x10210142, 0x000001FF, 0x00000000, 0xAB123579};

namespace {

// 7.5 RESETS: a bit for each peripheral that is held in reset
constexpr uint32_t kReset = 0x40020000, kResetDone = 0x40020008;
constexpr uint32_t kIo = 1u << 6, kPads = 1u << 9, kPll = 1u << 14, kUart = 1u << 26;

// 8.2 XOSC
constexpr uint32_t kCrystalControl = 0x40048000, kCrystalStatus = 0x40048004, kCrystalDelay = 0x4004800C;

// 8.1 CLOCKS
constexpr uint32_t kReference = 0x40010030, kReferenceSelected = 0x40010038;
constexpr uint32_t kSystem = 0x4001003C, kSystemSelected = 0x40010044, kPeripherals = 0x40010048;

// 8.6 PLL_SYS
constexpr uint32_t kPllControl = 0x40050000, kPllPower = 0x40050004, kPllFeedback = 0x40050008,
                   kPllDividers = 0x4005000C;
constexpr uint32_t kPowerDown = 1u, kDividersDown = 1u << 3, kOscillatorDown = 1u << 5;

// 9.11 IO_BANK0 and PADS_BANK0
constexpr uint32_t kFunction0 = 0x40028004, kFunction1 = 0x4002800C, kPad0 = 0x40038004, kPad1 = 0x40038008;
constexpr uint32_t kUartFunction = 2;
constexpr uint32_t kIsolated = 1u << 8, kInput = 1u << 6, kPullUp = 1u << 3, kPullDown = 1u << 2;

void release(uint32_t peripherals) {
    set_field(kReset, peripherals, 0);
    wait_for(kResetDone, peripherals, peripherals);
}

void start_clocks() {
    set_field(kCrystalDelay, 0x3FFF, 47);                 // 1 ms, in 256 periods of the crystal
    device_register(kCrystalControl) = 0xFAB000 | 0xAA0;  // ENABLE, 1 to 15 MHz
    wait_for(kCrystalStatus, 1u << 31, 1u << 31);
    set_field(kSystem, 1, 0);  // the system runs from the reference clock meanwhile
    wait_for(kSystemSelected, 3, 1);
    set_field(kReference, 3, 2);  // the crystal
    wait_for(kReferenceSelected, 15, 4);

    // 12 MHz * 125 / 5 / 2
    release(kPll);
    set_field(kPllControl, 0x3F, 1);
    set_field(kPllFeedback, 0xFFF, 125);
    set_field(kPllPower, kPowerDown | kOscillatorDown, 0);
    wait_for(kPllControl, 1u << 31, 1u << 31);
    set_field(kPllDividers, 7u << 16 | 7u << 12, 5u << 16 | 2u << 12);
    set_field(kPllPower, kDividersDown, 0);

    set_field(kSystem, 7u << 5, 0);  // AUXSRC: this PLL
    set_field(kSystem, 1, 1);
    wait_for(kSystemSelected, 3, 2);
    set_field(kPeripherals, 1u << 11 | 7u << 5, 1u << 11);  // ENABLE; AUXSRC: the system's clock
}

}  // namespace

void board_start() {
    start_clocks();
    release(kIo | kPads | kUart);
    set_field(kFunction0, 31, kUartFunction);
    set_field(kFunction1, 31, kUartFunction);
    set_field(kPad0, kIsolated, 0);
    set_field(kPad1, kIsolated | kInput | kPullUp | kPullDown, kInput | kPullUp);
}
