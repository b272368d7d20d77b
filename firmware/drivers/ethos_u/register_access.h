// How the driver reaches the NPU's registers. One of the register_access_*.cpp is linked.
#pragma once

#include <stdint.h>

// A 32-bit register, `offset` bytes from the NPU's first one.
uint32_t ethos_u_read_register(uint32_t offset);
void ethos_u_write_register(uint32_t offset, uint32_t value);
