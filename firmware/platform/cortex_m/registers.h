// Memory-mapped registers, by address.
#pragma once

#include <stdint.h>

inline volatile uint32_t& device_register(uint32_t address) { return *reinterpret_cast<volatile uint32_t*>(address); }
