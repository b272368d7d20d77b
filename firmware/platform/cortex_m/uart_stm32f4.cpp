// The USART of STM32F1, F2, F4 and L1, which has a status register and one for data in both directions: polled, 8 bits,
// no parity, one stop bit. The board has given it a clock and its pins. RM0090 30.6.
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kStatus = MCU_UART_BASE + 0x00;  // SR: bit 5, RXNE: a byte is waiting; bit 7, TXE: room for one
constexpr uint32_t kData = MCU_UART_BASE + 0x04;
constexpr uint32_t kDivider = MCU_UART_BASE + 0x08;     // BRR, in sixteenths: the clock's ticks in a bit
constexpr uint32_t kControl = MCU_UART_BASE + 0x0C;     // CR1
constexpr uint32_t kOn = 1u << 13 | 1u << 3 | 1u << 2;  // UE, TE, RE
constexpr uint32_t kDivision = (MCU_UART_CLOCK_HZ + MCU_UART_BAUD / 2) / MCU_UART_BAUD;
static_assert(kDivision >= 16 && kDivision <= 0xFFFF, "the UART's clock does not go with this baud rate");

}  // namespace

void uart_start() {
    device_register(kDivider) = kDivision;
    device_register(kControl) = kOn;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kStatus, 1u << 7, 1u << 7);
        device_register(kData) = static_cast<uint8_t>(bytes[i]);
    }
}

// Reading SR and then DR also clears an overrun.
uint8_t uart_read() {
    wait_for(kStatus, 1u << 5, 1u << 5);
    return static_cast<uint8_t>(device_register(kData));
}
