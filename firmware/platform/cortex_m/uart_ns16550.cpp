// The 16550, a word for each register, as Synopsys' DW_apb_uart has them: polled, 8 bits, no parity, one stop bit. The
// board has given it a clock and its pins. Synopsys, "DesignWare DW_apb_uart Databook", "Register Descriptions".
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kData = MCU_UART_BASE + 0x00;         // RBR and THR; with bit 7 of LCR: the divider's low byte
constexpr uint32_t kDividerHigh = MCU_UART_BASE + 0x04;  // with bit 7 of LCR; without it IER, the interrupts
constexpr uint32_t kFifoControl = MCU_UART_BASE + 0x08;  // FCR: on, both emptied
constexpr uint32_t kLineControl = MCU_UART_BASE + 0x0C;  // LCR: 3, eight bits
constexpr uint32_t kLineStatus = MCU_UART_BASE + 0x14;   // LSR: bit 0, a byte is waiting; bit 5, room for one
constexpr uint32_t kEightBits = 3, kDividerAccess = 1u << 7;
constexpr uint32_t kDivision = (MCU_UART_CLOCK_HZ + 8 * MCU_UART_BAUD) / (16 * MCU_UART_BAUD);
static_assert(kDivision >= 1 && kDivision <= 0xFFFF, "the UART's clock does not go with this baud rate");

}  // namespace

void uart_start() {
    device_register(kLineControl) = kEightBits | kDividerAccess;
    device_register(kData) = kDivision & 0xFF;
    device_register(kDividerHigh) = kDivision >> 8;
    device_register(kLineControl) = kEightBits;
    device_register(kDividerHigh) = 0;
    device_register(kFifoControl) = 7;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kLineStatus, 1u << 5, 1u << 5);
        device_register(kData) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    wait_for(kLineStatus, 1, 1);
    return static_cast<uint8_t>(device_register(kData));
}
