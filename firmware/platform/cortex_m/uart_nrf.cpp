// The UART of Nordic's nRF51 and nRF52, without DMA: polled, 8 bits, no parity, one stop bit. The board has chosen the
// pins. nRF52840 Product Specification v1.8, "UART".
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kStartReceiving = MCU_UART_BASE + 0x000;     // TASKS_STARTRX
constexpr uint32_t kStartTransmitting = MCU_UART_BASE + 0x008;  // TASKS_STARTTX
constexpr uint32_t kReceived = MCU_UART_BASE + 0x108;           // EVENTS_RXDRDY
constexpr uint32_t kTransmitted = MCU_UART_BASE + 0x11C;        // EVENTS_TXDRDY
constexpr uint32_t kEnable = MCU_UART_BASE + 0x500;             // 4: on
constexpr uint32_t kReceiveData = MCU_UART_BASE + 0x518;
constexpr uint32_t kTransmitData = MCU_UART_BASE + 0x51C;
constexpr uint32_t kBaudRate = MCU_UART_BASE + 0x524;

// BAUDRATE is a fraction of the clock in 2^-32; of it the upper 20 bits count.
constexpr uint64_t kFraction = ((uint64_t{MCU_UART_BAUD} << 32) + MCU_UART_CLOCK_HZ / 2) / MCU_UART_CLOCK_HZ;
constexpr uint32_t kRate = static_cast<uint32_t>(kFraction + 0x800) & 0xFFFFF000u;
static_assert(MCU_UART_BAUD <= 1000000, "the UART is no faster");

}  // namespace

void uart_start() {
    device_register(kBaudRate) = kRate;
    device_register(kEnable) = 4;
    device_register(kStartTransmitting) = 1;
    device_register(kStartReceiving) = 1;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        device_register(kTransmitted) = 0;
        device_register(kTransmitData) = static_cast<uint8_t>(bytes[i]);
        wait_for(kTransmitted, 1, 1);
    }
}

// The event is cleared before the byte is taken: one that comes between sets it again (six bytes are kept).
uint8_t uart_read() {
    wait_for(kReceived, 1, 1);
    device_register(kReceived) = 0;
    return static_cast<uint8_t>(device_register(kReceiveData));
}
