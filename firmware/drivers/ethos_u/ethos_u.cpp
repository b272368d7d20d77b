// See ethos_u.h.
#include "drivers/ethos_u/ethos_u.h"

#include "drivers/ethos_u/command_block.h"
#include "drivers/ethos_u/register_access.h"
#include "drivers/ethos_u/registers.h"

namespace ethos_u {
namespace {

constexpr uint32_t kResetPolls = 10000;

// The fields of ID and CONFIG that have to agree: architecture major and minor, product, MACs, stream version.
constexpr uint32_t kArchitecture = 0xFFF00000;
constexpr uint32_t kProductAndMacs = 0xF00000FF;

void write_address(uint32_t offset, const void* address) {
    const auto value = uint64_t(reinterpret_cast<uintptr_t>(address));
    ethos_u_write_register(offset, uint32_t(value));
    ethos_u_write_register(offset + 4, uint32_t(value >> 32));
}

Status reset() {
    ethos_u_write_register(kReset, kResetPrivilegedSecure);
    for (uint32_t i = 0; i < kResetPolls; ++i) {
        if ((ethos_u_read_register(kStatus) & kInReset) == 0) return Status::kOk;
    }
    // A bus without a device may read all ones, which looks like a reset.
    return ethos_u_read_register(kId) == UINT32_MAX ? Status::kNotFound : Status::kStuckInReset;
}

// The hardware must be the one that the stream was made for; a newer minor version of the architecture runs older
// streams.
Status check_version(const CommandBlock& block, uint32_t id, uint32_t config) {
    if ((id == 0 && config == 0) || id == UINT32_MAX) return Status::kNotFound;
    const bool same_major = (id & 0xF0000000) == (block.id & 0xF0000000);
    const bool new_enough = (id & kArchitecture) >= (block.id & kArchitecture);
    const bool same_product = (config & kProductAndMacs) == (block.config & kProductAndMacs);
    return same_major && new_enough && same_product ? Status::kOk : Status::kVersionMismatch;
}

// Four ways to access memory, which the queue and each region choose from: 0 and 1 for the fast memory, 2 and 3 for the
// rest.
void set_memory(uint32_t product) {
    if (product != kProductU85) {
        for (uint32_t i = 0; i < 4; ++i) ethos_u_write_register(kMemory + 4 * i, kAxiLimit);
        return;
    }
    for (uint32_t i = 0; i < 4; ++i) {
        ethos_u_write_register(kMemory + 4 * i, kNormalMemory | (i < 2 ? 0 : kExternalPort));
    }
    ethos_u_write_register(kSramPorts, kTransfers);
    ethos_u_write_register(kExternalPorts, kTransfers);
}

Status fault_in(uint32_t status) {
    if ((status & kBusError) != 0) return Status::kBusError;
    if ((status & kParseError) != 0) return Status::kParseError;
    if ((status & kEccFault) != 0) return Status::kMemoryFault;
    if ((status & (kWeightFault | kBranchFault)) != 0) return Status::kStreamFault;
    return Status::kOk;
}

// An error raises the interrupt as the end of the stream does. `last`: what STATUS read last.
Status wait(uint32_t polls, uint32_t* last) {
    for (uint32_t i = 0; i < polls; ++i) {
        *last = ethos_u_read_register(kStatus);
        const Status fault = fault_in(*last);
        if (fault != Status::kOk) return fault;
        if ((*last & kInterrupt) == 0) continue;
        return (*last & kEndReached) != 0 ? Status::kOk : Status::kEndedEarly;
    }
    return Status::kTimeout;
}

Outcome run(const Job& job, const CommandBlock& block) {
    ethos_u_write_register(kQueueConfig, job.queue_port);
    ethos_u_write_register(kRegionConfig, job.region_ports);
    write_address(kQueueBase, block.stream);
    ethos_u_write_register(kQueueSize, block.stream_bytes);
    for (uint32_t i = 0; i < job.region_count; ++i) write_address(kBasePointer + 8 * i, job.regions[i]);
    ethos_u_write_register(kCommand, kRun);
    Outcome outcome = {Status::kOk, 0, 0};
    outcome.status = wait(job.polls, &outcome.npu_status);
    if (outcome.status == Status::kOk) {
        ethos_u_write_register(kCommand, kClearInterrupt);
        ethos_u_write_register(kCommand, kClockGate | kPowerGate);
    } else {
        outcome.stream_position = ethos_u_read_register(kQueueRead);
        static_cast<void>(reset());  // whatever it is doing to the memory, it stops
    }
    return outcome;
}

}  // namespace

__attribute__((weak)) void clean_cache(const void*, uint32_t) {}
__attribute__((weak)) void invalidate_cache(const void*, uint32_t) {}

Outcome invoke(const Job& job) {
    CommandBlock block = {};
    if (job.region_count > kRegionCount || !read_command_block(job.commands, job.command_bytes, &block)) {
        return {Status::kBadStream, 0, 0};
    }
    Status status = reset();
    if (status != Status::kOk) return {status, ethos_u_read_register(kStatus), 0};
    const uint32_t id = ethos_u_read_register(kId);
    const uint32_t config = ethos_u_read_register(kConfig);
    status = check_version(block, id, config);
    if (status != Status::kOk) return {status, 0, 0};
    set_memory(config >> 28);
    return run(job, block);
}

const char* message(Status status) {
    switch (status) {
        case Status::kOk: return "ok";
        case Status::kBadStream: return "npu_bad_stream";
        case Status::kNotFound: return "npu_not_found";
        case Status::kVersionMismatch: return "npu_version_mismatch";
        case Status::kStuckInReset: return "npu_stuck_in_reset";
        case Status::kTimeout: return "npu_timeout";
        case Status::kBusError: return "npu_bus_error";
        case Status::kParseError: return "npu_parse_error";
        case Status::kMemoryFault: return "npu_memory_fault";
        case Status::kStreamFault: return "npu_stream_fault";
        case Status::kEndedEarly: return "npu_ended_early";
    }
    return "npu_error";
}

}  // namespace ethos_u
