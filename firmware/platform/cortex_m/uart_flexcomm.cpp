// The USART in a Flexcomm of NXP's LPC5500 and LPC5400: polled, 8 bits, no parity, one stop bit. The board has given it
// a clock and its pins, and made a USART of the Flexcomm. UM11126 chapter 36.
#include "platform/cortex_m/oversampling.h"
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kConfiguration = MCU_UART_BASE + 0x000;  // CFG: bit 0, ENABLE; bits 3:2, DATALEN: 1 is 8 bits
constexpr uint32_t kDivider = MCU_UART_BASE + 0x020;        // BRG, less one
constexpr uint32_t kSamples = MCU_UART_BASE + 0x028;        // OSR: samples of a bit, less one
constexpr uint32_t kFifo = MCU_UART_BASE + 0xE00;           // FIFOCFG: bit 0, ENABLETX; bit 1, ENABLERX
constexpr uint32_t kFifoStatus = MCU_UART_BASE + 0xE04;     // bit 5, TXNOTFULL; bit 6, RXNOTEMPTY
constexpr uint32_t kFifoWrite = MCU_UART_BASE + 0xE20;
constexpr uint32_t kFifoRead = MCU_UART_BASE + 0xE30;

constexpr uint32_t kBest = best_samples(16, 5);
static_assert(divider_for(kBest) >= 1 && divider_for(kBest) <= 0x10000,
              "the UART's clock does not go with this baud rate");

}  // namespace

void uart_start() {
    device_register(kDivider) = divider_for(kBest) - 1;
    device_register(kSamples) = kBest - 1;
    set_field(kFifo, 3, 3);
    device_register(kConfiguration) = 1u << 2 | 1u;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kFifoStatus, 1u << 5, 1u << 5);
        device_register(kFifoWrite) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    wait_for(kFifoStatus, 1u << 6, 1u << 6);
    return static_cast<uint8_t>(device_register(kFifoRead));
}
