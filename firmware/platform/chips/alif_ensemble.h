// What the cores of an Alif Ensemble E8 have in common: UART2 on P1_0 and P1_1; the secure enclave has set the clocks.
// Names are those of the "Hardware Reference Manual".
#pragma once

#include <stdint.h>

#include "platform/cortex_m/registers.h"

namespace alif {

// CLKCTL_PER_SLV: UART_CTRL, bit n: UARTn has its clock; bit 8 + n: it is the APB's 100 MHz, not 38.4 MHz
constexpr uint32_t kUartControl = 0x4902F008;
constexpr uint32_t kUart = 2;

// PINMUX: a word for each pin, 32 bytes a port; bits 2:0, the function; bit 16, REN: it can be read.
// The others (drive strength, Schmitt trigger) stay as they are after a reset.
constexpr uint32_t kPort1 = 0x1A603000 + 32 * 1;
constexpr uint32_t kFunctionMask = 7, kUartFunction = 1, kReadable = 1u << 16;

inline void connect_uart() {
    const uint32_t clock = 1u << kUart | 1u << (8 + kUart);
    set_field(kUartControl, clock, clock);
    set_field(kPort1 + 4 * 0, kFunctionMask | kReadable, kUartFunction | kReadable);
    set_field(kPort1 + 4 * 1, kFunctionMask, kUartFunction);
}

}  // namespace alif
