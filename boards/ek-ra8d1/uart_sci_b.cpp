// The serial interface of Renesas' RA8 (SCI_B) without its FIFO: polled, 8 bits, no parity, one stop bit, as CCR3 is
// after a reset. The board has given it a clock and its pins. RA8D1 "User's Manual: Hardware", "Serial Communications
// Interface".
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kReceiveData = MCU_UART_BASE + 0x00;   // RDR: bits 7:0
constexpr uint32_t kTransmitData = MCU_UART_BASE + 0x04;  // TDR_BY, one byte
constexpr uint32_t kControl = MCU_UART_BASE + 0x08;       // CCR0: bit 0, RE; bit 4, TE
constexpr uint32_t kRate = MCU_UART_BASE + 0x10;          // CCR2
constexpr uint32_t kActive = MCU_UART_BASE + 0x1C;        // CESR, one byte: bit 0, it receives; bit 4, it sends
constexpr uint32_t kStatus = MCU_UART_BASE + 0x48;        // CSR: bit 24, ORER; bit 29, TDRE; bit 31, RDRF
constexpr uint32_t kClear = MCU_UART_BASE + 0x68;         // CFCLR: bit 24, ORERC
constexpr uint32_t kOverrun = 1u << 24, kRoom = 1u << 29, kWaiting = 1u << 31;

// MDDR, which is not used, and BCP as after a reset; ABCSE: six ticks a bit, divided by BRR + 1.
constexpr uint32_t kSixTicks = 0xFFu << 24 | 1u << 6 | 4u;
constexpr uint32_t kDivision = (MCU_UART_CLOCK_HZ + 3 * MCU_UART_BAUD) / (6 * MCU_UART_BAUD);
static_assert(kDivision >= 1 && kDivision <= 256, "the UART's clock does not go with this baud rate");

}  // namespace

void uart_start() {
    device_register(kControl) = 0;
    wait_for8(kActive, 0x11, 0);
    device_register(kRate) = kSixTicks | (kDivision - 1) << 8;
    device_register(kControl) = 1u | 1u << 4;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kStatus, kRoom, kRoom);
        device_register8(kTransmitData) = static_cast<uint8_t>(bytes[i]);
    }
}

// After an overrun nothing comes until that is cleared.
uint8_t uart_read() {
    for (;;) {
        const uint32_t status = device_register(kStatus);
        if ((status & kWaiting) != 0) return static_cast<uint8_t>(device_register(kReceiveData));
        if ((status & kOverrun) != 0) device_register(kClear) = kOverrun;
    }
}
