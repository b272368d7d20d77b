// The USART of the newer STM32, with registers of their own for what comes and goes: polled, 8 bits, no parity, one
// stop bit. The board has given it a clock and its pins. RM0486, "USART registers".
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kControl = MCU_UART_BASE + 0x00;       // CR1: bit 0, UE; bit 2, RE; bit 3, TE
constexpr uint32_t kControl3 = MCU_UART_BASE + 0x08;      // CR3: bit 12, OVRDIS: a byte that is not taken is replaced
constexpr uint32_t kDivider = MCU_UART_BASE + 0x0C;       // BRR: the clock's ticks in a bit
constexpr uint32_t kStatus = MCU_UART_BASE + 0x1C;        // ISR: bit 5, RXFNE: a byte is waiting; bit 7, TXFNF: room
constexpr uint32_t kReceiveData = MCU_UART_BASE + 0x24;   // RDR
constexpr uint32_t kTransmitData = MCU_UART_BASE + 0x28;  // TDR
constexpr uint32_t kDivision = (MCU_UART_CLOCK_HZ + MCU_UART_BAUD / 2) / MCU_UART_BAUD;
static_assert(kDivision >= 16 && kDivision <= 0xFFFF, "the UART's clock does not go with this baud rate");

}  // namespace

void uart_start() {
    device_register(kControl) = 0;
    device_register(kControl3) = 1u << 12;
    device_register(kDivider) = kDivision;
    device_register(kControl) = 1u | 1u << 2 | 1u << 3;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kStatus, 1u << 7, 1u << 7);
        device_register(kTransmitData) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    wait_for(kStatus, 1u << 5, 1u << 5);
    return static_cast<uint8_t>(device_register(kReceiveData));
}
