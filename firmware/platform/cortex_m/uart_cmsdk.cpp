// The APB UART of Arm's Cortex-M System Design Kit: polled, 8 bits, no parity, one stop bit.
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {
constexpr uint32_t kData = MCU_UART_BASE + 0x00;
constexpr uint32_t kState = MCU_UART_BASE + 0x04;    // bit 0: transmitter full, bit 1: a byte is waiting
constexpr uint32_t kControl = MCU_UART_BASE + 0x08;  // bit 0: transmitter on, bit 1: receiver on
constexpr uint32_t kDivider = MCU_UART_BASE + 0x10;  // at least 16
constexpr uint32_t kDivision = (MCU_UART_CLOCK_HZ + MCU_UART_BAUD / 2) / MCU_UART_BAUD;
static_assert(kDivision >= 16, "the UART's clock is too slow for this baud rate");
}  // namespace

void uart_start() {
    device_register(kDivider) = kDivision;
    device_register(kControl) = 3;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        while (device_register(kState) & 1) {
        }
        device_register(kData) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    while (!(device_register(kState) & 2)) {
    }
    return static_cast<uint8_t>(device_register(kData));
}
