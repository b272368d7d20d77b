// The UART of NXP's Kinetis, of 8-bit registers: polled, 8 bits, no parity, one stop bit. The board has given it a
// clock and its pins. K64P144M120SF5RM 52.3.
#include "platform/cortex_m/registers.h"
#include "platform/cortex_m/uart.h"

namespace {

constexpr uint32_t kDividerHigh = MCU_UART_BASE + 0x0;  // BDH: bits 12:8 of SBR; they count once BDL is written
constexpr uint32_t kDividerLow = MCU_UART_BASE + 0x1;   // BDL
constexpr uint32_t kControl = MCU_UART_BASE + 0x3;      // C2: bit 3, TE; bit 2, RE
constexpr uint32_t kStatus = MCU_UART_BASE + 0x4;       // S1: bit 7, TDRE: room for a byte; bit 5, RDRF: one is waiting
constexpr uint32_t kData = MCU_UART_BASE + 0x7;         // D
constexpr uint32_t kFine = MCU_UART_BASE + 0xA;         // C4: bits 4:0, BRFA

// baud = clock / (16 * (SBR + BRFA / 32)): thirty-seconds of SBR, rounded.
constexpr uint32_t kParts = (2 * MCU_UART_CLOCK_HZ + MCU_UART_BAUD / 2) / MCU_UART_BAUD;
constexpr uint32_t kSbr = kParts / 32, kBrfa = kParts % 32;
static_assert(kSbr >= 1 && kSbr < 1u << 13, "the UART's clock does not go with this baud rate");

}  // namespace

void uart_start() {
    device_register8(kControl) = 0;
    device_register8(kDividerHigh) = static_cast<uint8_t>(kSbr >> 8);
    device_register8(kDividerLow) = static_cast<uint8_t>(kSbr);
    device_register8(kFine) = static_cast<uint8_t>(kBrfa);
    device_register8(kControl) = 1u << 3 | 1u << 2;
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        while (!(device_register8(kStatus) & 1u << 7)) {
        }
        device_register8(kData) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    while (!(device_register8(kStatus) & 1u << 5)) {
    }
    return device_register8(kData);
}
