// nRF52840 DK: the crystal as clock, the instruction cache, the UART's pins. Chapters of the nRF52840 Product
// Specification v1.8 are named by their peripheral.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// CLOCK: the crystal is accurate enough for a serial port at any temperature; the oscillator after reset is not.
constexpr uint32_t kStartHighClock = 0x40000000;    // TASKS_HFCLKSTART
constexpr uint32_t kHighClockStarted = 0x40000100;  // EVENTS_HFCLKSTARTED

constexpr uint32_t kCacheConfiguration = 0x4001E540;  // NVMC, ICACHECNF: bit 0, CACHEEN

// GPIO, port 0
constexpr uint32_t kOutSet = 0x50000508;
constexpr uint32_t kPinConfiguration = 0x50000700;  // PIN_CNF[n]: 4 bytes each
constexpr uint32_t kOutput = 1 | 1u << 1;           // DIR = output, INPUT = disconnected
constexpr uint32_t kInputPulledUp = 3u << 2;        // DIR = input, INPUT = connected, PULL = up

// UART: which pins it takes. P0.06 and P0.08 lead to the debugger's VCOM0.
constexpr uint32_t kTransmitPin = 6;
constexpr uint32_t kReceivePin = 8;
constexpr uint32_t kSelectTransmit = 0x4000250C;  // PSEL.TXD
constexpr uint32_t kSelectReceive = 0x40002514;   // PSEL.RXD
constexpr uint32_t kConnected = 1u << 31 | 0x3F;  // CONNECT = 0 (connected), PORT and PIN

}  // namespace

void board_start() {
    device_register(kStartHighClock) = 1;
    wait_for(kHighClockStarted, 1, 1);
    device_register(kCacheConfiguration) = 1;

    device_register(kOutSet) = 1u << kTransmitPin;  // idle, from the moment that the pin is an output
    device_register(kPinConfiguration + 4 * kTransmitPin) = kOutput;
    device_register(kPinConfiguration + 4 * kReceivePin) = kInputPulledUp;
    set_field(kSelectTransmit, kConnected, kTransmitPin);
    set_field(kSelectReceive, kConnected, kReceivePin);
}
