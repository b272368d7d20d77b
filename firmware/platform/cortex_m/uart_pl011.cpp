// Arm's PrimeCell UART PL011: polled, 8 bits, no parity, one stop bit, with its FIFOs. The board has given it a clock
// and its pins. Arm DDI 0183 chapter 3.
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kData = MCU_UART_BASE + 0x00;     // UARTDR
constexpr uint32_t kFlags = MCU_UART_BASE + 0x18;    // UARTFR: bit 4, RXFE: nothing is waiting; bit 5, TXFF: no room
constexpr uint32_t kWhole = MCU_UART_BASE + 0x24;    // UARTIBRD
constexpr uint32_t kParts = MCU_UART_BASE + 0x28;    // UARTFBRD: sixty-fourths
constexpr uint32_t kLine = MCU_UART_BASE + 0x2C;     // UARTLCR_H: bits 6:5, WLEN: 3 is 8 bits; bit 4, FEN
constexpr uint32_t kControl = MCU_UART_BASE + 0x30;  // UARTCR: bit 9, RXE; bit 8, TXE; bit 0, UARTEN

// baud = clock / (16 * divisor): the divisor in sixty-fourths, rounded.
constexpr uint32_t kDivision =
    static_cast<uint32_t>((uint64_t{MCU_UART_CLOCK_HZ} * 4 + MCU_UART_BAUD / 2) / MCU_UART_BAUD);
static_assert(kDivision >= 64 && kDivision < 0x10000u * 64, "the UART's clock does not go with this baud rate");

}  // namespace

// A write of UARTLCR_H is what makes the divisor count.
void uart_start() {
    device_register(kWhole) = kDivision / 64;
    device_register(kParts) = kDivision % 64;
    device_register(kLine) = 3u << 5 | 1u << 4;
    device_register(kControl) = 1u << 9 | 1u << 8 | 1u;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kFlags, 1u << 5, 0);
        device_register(kData) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    wait_for(kFlags, 1u << 4, 0);
    return static_cast<uint8_t>(device_register(kData));
}
