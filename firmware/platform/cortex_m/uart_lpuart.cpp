// The LPUART of NXP's i.MX RT, MCX and Kinetis: polled, 8 bits, no parity, one stop bit. The board has given it a clock
// and its pins. IMXRT1060RM chapter 49.
#include "platform/cortex_m/uart.h"

#include "platform/cortex_m/registers.h"

namespace {

constexpr uint32_t kRate = MCU_UART_BASE + 0x10;    // BAUD: bits 12:0, SBR; bits 28:24, OSR: samples of a bit, less one
constexpr uint32_t kStatus = MCU_UART_BASE + 0x14;  // STAT: bit 23, TDRE: room for a byte; bit 21, RDRF: one is waiting
constexpr uint32_t kOverrun = 1u << 19;             // OR: nothing is received until it is cleared by writing 1
constexpr uint32_t kControl = MCU_UART_BASE + 0x18;  // CTRL: bit 19, TE; bit 18, RE
constexpr uint32_t kData = MCU_UART_BASE + 0x1C;

constexpr uint32_t divider_for(uint32_t samples) {
    return (MCU_UART_CLOCK_HZ + MCU_UART_BAUD * samples / 2) / (MCU_UART_BAUD * samples);
}

// How far the clock is from a bit's length with so many samples, in ticks of a second.
constexpr uint32_t error_with(uint32_t samples) {
    const uint32_t made = MCU_UART_BAUD * samples * divider_for(samples);
    return made > MCU_UART_CLOCK_HZ ? made - MCU_UART_CLOCK_HZ : MCU_UART_CLOCK_HZ - made;
}

// Of 8 to 32 samples those that come nearest; below 8 both edges would have to be sampled.
constexpr uint32_t best_samples() {
    uint32_t best = 16;
    for (uint32_t samples = 32; samples >= 8; --samples) {
        if (divider_for(samples) > 0 && error_with(samples) < error_with(best)) best = samples;
    }
    return best;
}

constexpr uint32_t kBest = best_samples();
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
