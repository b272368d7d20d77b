// What crosses between firmware and a simulated NPU: see docs/npu_cosimulation.md.
#pragma once

#include <stdint.h>

// Sent for every access, little-endian; a read is answered with the value, 4 bytes, a write not at all.
struct RegisterMessage {
    uint32_t operation;  // kRegisterRead, kRegisterWrite
    uint32_t offset;
    uint32_t value;
};
static_assert(sizeof(RegisterMessage) == 12, "no padding");

inline constexpr uint32_t kRegisterRead = 0x44524D31;   // "1MRD"
inline constexpr uint32_t kRegisterWrite = 0x52574D31;  // "1MWR"
