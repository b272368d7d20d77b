// The driver of an Arm Ethos-U NPU: runs one command stream at a time and says what went wrong.
#pragma once

#include <stdint.h>

namespace ethos_u {

enum class Status : uint8_t {
    kOk,
    kBadStream,        // no command block, or more regions than there are
    kNotFound,         // the registers do not read like an Ethos-U
    kVersionMismatch,  // the stream was made for another NPU than this one
    kStuckInReset,
    kTimeout,
    kBusError,
    kParseError,   // a command that the NPU does not know
    kMemoryFault,  // of the memory inside the NPU
    kStreamFault,  // weights or a branch that cannot be
    kEndedEarly,
};

// A word for a console: "npu_timeout", "npu_bus_error".
const char* message(Status status);

inline constexpr uint32_t kRegionCount = 8;

// A command stream and the memory that its regions stand for. All of it has to be where the NPU can reach it; the
// stream at a multiple of 16 bytes.
struct Job {
    const uint8_t* commands;  // the command block as Vela writes it: "COP1", configuration, stream
    uint32_t command_bytes;
    const void* regions[kRegionCount];
    uint32_t region_count;
    uint32_t region_ports;  // which way to memory each region takes, two bits a region: 0, 1 fast; 2, 3 the rest
    uint32_t queue_port;    // and the command stream
    uint32_t polls;         // how often the status is asked for before the NPU counts as hung
};

struct Outcome {
    Status status;
    uint32_t npu_status;       // the register STATUS, where a run or a reset failed
    uint32_t stream_position;  // bytes of the stream that the NPU had read when a run failed
};

// Resets the NPU, checks that the stream was made for it, runs the stream and waits for its end. An NPU that failed is
// reset, so that it no longer writes.
Outcome invoke(const Job& job);

// Called before and after a run with what the NPU is about to read and has written; they do nothing unless the
// platform defines them. For a core whose data cache is on.
void clean_cache(const void* begin, uint32_t bytes);
void invalidate_cache(const void* begin, uint32_t bytes);

}  // namespace ethos_u
