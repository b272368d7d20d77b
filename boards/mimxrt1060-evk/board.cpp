// MIMXRT1060-EVK: i.MX RT1062 at 600 MHz from its 8 MB of QSPI flash, LPUART1 on the debugger's USB port.
#include "platform/cortex_m/board.h"

#include "platform/chips/imxrt1060.h"

IMXRT_BOOT_HEADER(8u << 20);

namespace {

// IMXRT1060RM chapter 11, IOMUXC: GPIO_AD_B0_12 and _13, both ALT2
constexpr uint32_t kTransmitPin = 0x401F80EC, kReceivePin = 0x401F80F0;

}  // namespace

void board_start() {
    imxrt::stop_watchdogs();
    imxrt::protect(23);
    enable_caches();
    imxrt::start_clocks();

    imxrt::gate_on(imxrt::kGates4, 1);   // IOMUXC
    imxrt::gate_on(imxrt::kGates5, 12);  // LPUART1
    set_field(kTransmitPin, 7, 2);
    set_field(kReceivePin, 7, 2);
}
