// Teensy 4.1: i.MX RT1062 at 600 MHz from its 8 MB of flash, LPUART6 (Serial1) on the pins 1 (out) and 0 (in).
#include "platform/cortex_m/board.h"

#include "platform/chips/imxrt1060.h"

IMXRT_BOOT_HEADER(8u << 20);

namespace {

// IMXRT1060RM chapter 11, IOMUXC: GPIO_AD_B0_02 and _03, both ALT2
constexpr uint32_t kTransmitPin = 0x401F80C4, kReceivePin = 0x401F80C8, kReceiveSelect = 0x401F8550;

}  // namespace

void board_start() {
    imxrt::stop_watchdogs();
    imxrt::protect(23);
    enable_caches();
    imxrt::start_clocks();

    imxrt::gate_on(imxrt::kGates4, 1);  // IOMUXC
    imxrt::gate_on(imxrt::kGates3, 3);  // LPUART6
    set_field(kTransmitPin, 7, 2);
    set_field(kReceivePin, 7, 2);
    set_field(kReceiveSelect, 1, 1);  // LPUART6_RX_SELECT_INPUT: GPIO_AD_B0_03
}
