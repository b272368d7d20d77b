// nRF54L15 DK: the factory's trim values, 128 MHz, the crystal as clock, the cache, the debug port, UARTE20's pins.
// Chapters of the nRF54L15 Product Specification are named by their peripheral; secure addresses.
#include "platform/cortex_m/board.h"

#include "platform/cortex_m/registers.h"

namespace {

// OSCILLATORS: the processor's clock. 64 MHz after a reset.
constexpr uint32_t kFrequency = 0x50120800, kCurrentFrequency = 0x50120804;  // PLL.FREQ, PLL.CURRENTFREQ
constexpr uint32_t k128MHz = 1, kFrequencyMask = 3;

// CLOCK: the crystal is accurate enough for a serial port at any temperature; the oscillator after reset is not.
constexpr uint32_t kStartCrystal = 0x5010E000;    // TASKS_XOSTART
constexpr uint32_t kCrystalStarted = 0x5010E100;  // EVENTS_XOSTARTED

// FICR: up to 64 pairs of a register's address and what the factory found that it has to hold
constexpr uint32_t kTrim = 0x00FFC400;  // TRIMCNF[n].ADDR, TRIMCNF[n].DATA
constexpr uint32_t kTrims = 64;

constexpr uint32_t kCache = 0xE0082404;  // ICACHE, ENABLE

// TAMPC: PROTECT.DOMAIN[0].DBGEN, NIDEN, SPIDEN, SPNIDEN, and PROTECT.AP[0].DBGEN. After a reset they are low: a
// debugger finds the chip protected, and the cycle counter stands. What the UICR protects stays so.
constexpr uint32_t kDebug[] = {0x500DC500, 0x500DC508, 0x500DC510, 0x500DC518, 0x500DC700};
constexpr uint32_t kKey = 0x50FAu << 16, kHigh = 1, kLocked = 2, kUnprotected = 0xF0;

// GPIO, port 1. P1.04 and P1.05 lead to the debugger's serial port 1.
constexpr uint32_t kOutSet = 0x500D8204;
constexpr uint32_t kPinConfiguration = 0x500D8280;  // PIN_CNF[n]: 4 bytes each
constexpr uint32_t kOutput = 1 | 1u << 1;           // DIR = output, INPUT = disconnected
constexpr uint32_t kInputPulledUp = 3u << 2;        // DIR = input, INPUT = connected, PULL = up
constexpr uint32_t kTransmitPin = 4, kReceivePin = 5;

// UARTE: which pins it takes
constexpr uint32_t kSelectTransmit = 0x500C6604;  // PSEL.TXD
constexpr uint32_t kSelectReceive = 0x500C660C;   // PSEL.RXD
constexpr uint32_t kConnected = 1u << 31 | 0xFF;  // CONNECT = 0 (connected), PORT and PIN
constexpr uint32_t kPort1 = 1u << 5;

void load_trims() {
    for (uint32_t i = 0; i < kTrims; ++i) {
        const uint32_t address = device_register(kTrim + 8 * i);
        if (address == 0 || address == 0xFFFFFFFF) return;
        device_register(address) = device_register(kTrim + 8 * i + 4);
    }
}

void open_debug_port() {
    for (const uint32_t signal : kDebug) {
        if (device_register(signal) & kLocked) continue;
        device_register(signal) = kKey | kUnprotected;
        device_register(signal) = kKey | kHigh;
    }
}

}  // namespace

void board_start() {
    device_register(kFrequency) = k128MHz;
    wait_for(kCurrentFrequency, kFrequencyMask, k128MHz);
    open_debug_port();
    load_trims();
    device_register(kStartCrystal) = 1;
    wait_for(kCrystalStarted, 1, 1);
    device_register(kCache) = 1;

    device_register(kOutSet) = 1u << kTransmitPin;  // idle, from the moment that the pin is an output
    device_register(kPinConfiguration + 4 * kTransmitPin) = kOutput;
    device_register(kPinConfiguration + 4 * kReceivePin) = kInputPulledUp;
    set_field(kSelectTransmit, kConnected, kPort1 | kTransmitPin);
    set_field(kSelectReceive, kConnected, kPort1 | kReceivePin);
}
