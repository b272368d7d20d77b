// The UART of Nordic's nRF54L, which takes and leaves its bytes in RAM by itself (EasyDMA): polled, 8 bits, no parity,
// one stop bit, as CONFIG is after a reset. The board has chosen the pins. nRF54L15 Product Specification, "UARTE".
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kStartReceiving = MCU_UART_BASE + 0x028;     // TASKS_DMA.RX.START
constexpr uint32_t kStartTransmitting = MCU_UART_BASE + 0x050;  // TASKS_DMA.TX.START
constexpr uint32_t kReceived = MCU_UART_BASE + 0x14C;           // EVENTS_DMA.RX.END
constexpr uint32_t kTransmitted = MCU_UART_BASE + 0x168;        // EVENTS_DMA.TX.END
constexpr uint32_t kEnable = MCU_UART_BASE + 0x500;             // 8: on
constexpr uint32_t kBaudRate = MCU_UART_BASE + 0x524;
constexpr uint32_t kReceiveTo = MCU_UART_BASE + 0x704, kReceiveCount = MCU_UART_BASE + 0x708;      // DMA.RX.PTR, MAXCNT
constexpr uint32_t kTransmitFrom = MCU_UART_BASE + 0x73C, kTransmitCount = MCU_UART_BASE + 0x740;  // DMA.TX.PTR, MAXCNT

// BAUDRATE is a fraction of the clock in 2^-32; of it the upper 20 bits count.
constexpr uint64_t kFraction = ((uint64_t{MCU_UART_BAUD} << 32) + MCU_UART_CLOCK_HZ / 2) / MCU_UART_CLOCK_HZ;
constexpr uint32_t kRate = static_cast<uint32_t>(kFraction + 0x800) & 0xFFFFF000u;
static_assert(MCU_UART_BAUD <= 1000000, "the UART is no faster");

// What is sent may lie in memory that the DMA does not reach (code, weights); here it does.
constexpr int32_t kChunk = 64;
volatile uint8_t leaving[kChunk];
volatile uint8_t arrived;

uint32_t address_of(const volatile void* place) { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(place)); }

// What was written to memory is there before the DMA is told of it.
void start(uint32_t task) {
    asm volatile("dmb" ::: "memory");
    device_register(task) = 1;
}

}  // namespace

void uart_start() {
    device_register(kBaudRate) = kRate;
    device_register(kEnable) = 8;
    device_register(kTransmitFrom) = address_of(leaving);
    device_register(kReceiveTo) = address_of(&arrived);
    device_register(kReceiveCount) = 1;
    start(kStartReceiving);
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t done = 0; done < count;) {
        const int32_t chunk = count - done < kChunk ? count - done : kChunk;
        for (int32_t i = 0; i < chunk; ++i) leaving[i] = static_cast<uint8_t>(bytes[done + i]);
        device_register(kTransmitted) = 0;
        device_register(kTransmitCount) = static_cast<uint32_t>(chunk);
        start(kStartTransmitting);
        wait_for(kTransmitted, 1, 1);
        done += chunk;
    }
}

// One byte at a time: the UART keeps those that come until it is started again.
uint8_t uart_read() {
    wait_for(kReceived, 1, 1);
    device_register(kReceived) = 0;
    const uint8_t byte = arrived;
    start(kStartReceiving);
    return byte;
}
