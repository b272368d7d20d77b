// Memory-mapped registers, by address and width.
#pragma once

#include <stdint.h>

inline volatile uint32_t& device_register(uint32_t address) { return *reinterpret_cast<volatile uint32_t*>(address); }
inline volatile uint16_t& device_register16(uint32_t address) { return *reinterpret_cast<volatile uint16_t*>(address); }
inline volatile uint8_t& device_register8(uint32_t address) { return *reinterpret_cast<volatile uint8_t*>(address); }

// `value` in the bits of `mask`; the others stay as they are.
inline void set_field(uint32_t address, uint32_t mask, uint32_t value) {
    device_register(address) = (device_register(address) & ~mask) | value;
}

// Turns on a peripheral's clock. The read waits for the write: the clock is there when the peripheral is next touched.
inline void enable_clock(uint32_t address, uint32_t bit) {
    device_register(address) = device_register(address) | bit;
    [[maybe_unused]] const uint32_t value = device_register(address);
}

// Waits until the bits of `mask` are `value`.
inline void wait_for(uint32_t address, uint32_t mask, uint32_t value) {
    while ((device_register(address) & mask) != value) {
    }
}

// The same, of a register with one byte.
inline void wait_for8(uint32_t address, uint8_t mask, uint8_t value) {
    while ((device_register8(address) & mask) != value) {
    }
}
