// The USART of STM32F0, F3, F7, G, H, L4, L5, N6, U and WB, which has a data register for each direction: polled, 8
// bits, no parity, one stop bit. The board has given it a clock and its pins. RM0351 40.8, RM0433 48.7.
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kControl = MCU_UART_BASE + 0x00;   // CR1
constexpr uint32_t kOn = 1u << 3 | 1u << 2 | 1u;      // TE, RE, UE
constexpr uint32_t kControl3 = MCU_UART_BASE + 0x08;  // CR3: bit 12, OVRDIS: the newest byte counts, nothing stops
constexpr uint32_t kDivider = MCU_UART_BASE + 0x0C;   // BRR, in sixteenths: the clock's ticks in a bit
constexpr uint32_t kStatus = MCU_UART_BASE + 0x1C;    // ISR: bit 5, RXNE: a byte is waiting; bit 7, TXE: room for one
constexpr uint32_t kReceived = MCU_UART_BASE + 0x24, kTransmit = MCU_UART_BASE + 0x28;
constexpr uint32_t kDivision = (MCU_UART_CLOCK_HZ + MCU_UART_BAUD / 2) / MCU_UART_BAUD;
static_assert(kDivision >= 16 && kDivision <= 0xFFFF, "the UART's clock does not go with this baud rate");

}  // namespace

void uart_start() {
    device_register(kDivider) = kDivision;
    device_register(kControl3) = 1u << 12;
    device_register(kControl) = kOn;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kStatus, 1u << 7, 1u << 7);
        device_register(kTransmit) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    wait_for(kStatus, 1u << 5, 1u << 5);
    return static_cast<uint8_t>(device_register(kReceived));
}
