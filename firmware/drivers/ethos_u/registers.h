// The registers that running a command stream takes. Offsets and bits as Arm's technical reference manuals give them;
// the same for the Ethos-U55, U65 and U85 where nothing else is said.
#pragma once

#include <stdint.h>

namespace ethos_u {

inline constexpr uint32_t kId = 0x00;
inline constexpr uint32_t kStatus = 0x04;
inline constexpr uint32_t kCommand = 0x08;
inline constexpr uint32_t kReset = 0x0C;
inline constexpr uint32_t kQueueBase = 0x10;  // 64 bits, as are the base pointers
inline constexpr uint32_t kQueueRead = 0x18;  // bytes of the stream that were read
inline constexpr uint32_t kQueueConfig = 0x1C;
inline constexpr uint32_t kQueueSize = 0x20;
inline constexpr uint32_t kConfig = 0x28;
inline constexpr uint32_t kRegionConfig = 0x3C;
inline constexpr uint32_t kMemory = 0x40;         // four: U55, U65 AXI_LIMIT0..3; U85 MEM_ATTR0..3
inline constexpr uint32_t kSramPorts = 0x50;      // U85: AXI_SRAM
inline constexpr uint32_t kExternalPorts = 0x54;  // U85: AXI_EXT
inline constexpr uint32_t kBasePointer = 0x80;    // of region i: + 8 * i

// Status
inline constexpr uint32_t kRunning = 1u << 0;
inline constexpr uint32_t kInterrupt = 1u << 1;
inline constexpr uint32_t kBusError = 1u << 2;
inline constexpr uint32_t kInReset = 1u << 3;
inline constexpr uint32_t kParseError = 1u << 4;
inline constexpr uint32_t kEndReached = 1u << 5;
inline constexpr uint32_t kWeightFault = 1u << 7;  // U55 and U65
inline constexpr uint32_t kEccFault = 1u << 8;
inline constexpr uint32_t kBranchFault = 1u << 9;  // U85

// Command. The two gates say that clock and power may be switched off when the NPU is idle; they are open after a
// reset, and closed by a run, which writes 0 to them.
inline constexpr uint32_t kRun = 1u << 0;
inline constexpr uint32_t kClearInterrupt = 1u << 1;
inline constexpr uint32_t kClockGate = 1u << 2;
inline constexpr uint32_t kPowerGate = 1u << 3;

// Reset: to a secure, privileged NPU, which is what a board without a security split wants.
inline constexpr uint32_t kResetPrivilegedSecure = 1u << 0;

// How memory is accessed. The NPU comes out of reset with one transfer at a time to what it takes for a device:
// correct, and slow. Normal memory, not cached, buffered; 32 reads and 16 writes under way; bursts of 64 bytes: what
// every configuration of the three can do.
inline constexpr uint32_t kNormalMemory = 3u << 4;
inline constexpr uint32_t kTransfers = 31u << 0 | 15u << 8;
inline constexpr uint32_t kAxiLimit = kNormalMemory | kTransfers << 16;
inline constexpr uint32_t kExternalPort = 1u << 2;  // MEM_ATTR: not the port to the SRAM

inline constexpr uint32_t kProductU85 = 2;  // CONFIG, bits 31:28

}  // namespace ethos_u
