// The NPU's registers at their address on the bus.
#include "drivers/ethos_u/register_access.h"

namespace {

volatile uint32_t& device(uint32_t offset) {
    return *reinterpret_cast<volatile uint32_t*>(uintptr_t(MCU_NPU_BASE) + offset);
}

}  // namespace

uint32_t ethos_u_read_register(uint32_t offset) { return device(offset); }

void ethos_u_write_register(uint32_t offset, uint32_t value) {
    asm volatile("dsb" ::: "memory");  // what the NPU will read has been written
    device(offset) = value;
    asm volatile("dsb" ::: "memory");
}
