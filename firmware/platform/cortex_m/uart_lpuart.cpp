// The LPUART of NXP's i.MX RT, MCX and Kinetis: polled, 8 bits, no parity, one stop bit. The board has given it a clock
// and its pins. IMXRT1060RM chapter 49.
#include "platform/cortex_m/uart.h"

#include "platform/cortex_m/oversampling.h"
#include "platform/cortex_m/registers.h"

namespace {

constexpr uint32_t kRate = MCU_UART_BASE + 0x10;    // BAUD: bits 12:0, SBR; bits 28:24, OSR: samples of a bit, less one
constexpr uint32_t kStatus = MCU_UART_BASE + 0x14;  // STAT: bit 23, TDRE: room for a byte; bit 21, RDRF: one is waiting
constexpr uint32_t kOverrun = 1u << 19;             // OR: nothing is received until it is cleared by writing 1
constexpr uint32_t kControl = MCU_UART_BASE + 0x18;  // CTRL: bit 19, TE; bit 18, RE
constexpr uint32_t kData = MCU_UART_BASE + 0x1C;

constexpr uint32_t kBest = best_samples(32, 8);  // below 8 both edges would have to be sampled
static_assert(divider_for(kBest) >= 1 && divider_for(kBest) < 1u << 13, "the UART's clock does not go with this rate");

}  // namespace

void uart_start() {
    set_field(kControl, 3u << 18, 0);
    set_field(kRate, 31u << 24 | 0x1FFF, (kBest - 1) << 24 | divider_for(kBest));
    set_field(kControl, 3u << 18, 3u << 18);
}

void uart_write(const char* bytes, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        wait_for(kStatus, 1u << 23, 1u << 23);
        device_register(kData) = static_cast<uint8_t>(bytes[i]);
    }
}

uint8_t uart_read() {
    for (;;) {
        const uint32_t status = device_register(kStatus);
        if (status & 1u << 21) return static_cast<uint8_t>(device_register(kData));
        if (status & kOverrun) device_register(kStatus) = status & (0xFF000000u | kOverrun);
    }
}
