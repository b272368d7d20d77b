// Methods of a .pte under ExecuTorch's own runtime, in memory that is there before it starts: no heap.
//
// What a method is given is computed from the file, when the project is generated. What the runtime refuses is told by
// executor_failed(), with the words that docs/run-protocol.md lists.
#pragma once

#include <executorch/runtime/executor/memory_manager.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/kernel/operator_registry.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

namespace executor {

struct Memory {
    uint8_t* data;
    size_t bytes;
};

// One method: its planned memories by their number in the file, from 1 on, what its instructions and values take
// ("method allocator"), and its inputs and outputs as model.h has them.
struct Plan {
    const char* name;
    const Memory* planned;
    int32_t planned_count;
    Memory allocator;
    const model::Tensor* inputs;
    int32_t input_count;
    const model::Tensor* outputs;
    int32_t output_count;
};

inline constexpr int32_t kMostMemories = 8;

// What a method is once it is loaded. Plain memory, since no constructor runs before main().
struct Slot {
    bool loaded;
    alignas(16) uint8_t planned[kMostMemories][sizeof(executorch::runtime::Span<uint8_t>)];
    alignas(16) uint8_t planned_allocator[sizeof(executorch::runtime::HierarchicalAllocator)];
    alignas(16) uint8_t method_allocator[sizeof(executorch::runtime::MemoryAllocator)];
    alignas(16) uint8_t manager[sizeof(executorch::runtime::MemoryManager)];
    alignas(16) uint8_t method[sizeof(executorch::runtime::Method)];

    size_t used() const {
        if (!loaded) return 0;
        return reinterpret_cast<const executorch::runtime::MemoryAllocator*>(method_allocator)->used_size();
    }
};

// What all methods share: the .pte, 64-aligned; the temporary memory, which they take in turn; room for the kernels of
// all operators that are called; and the names of those that are not ours, null at the end. A file in a partition of
// its own may have been replaced without the firmware: `crc` is what its CRC-32 has to be.
struct Shared {
    Memory file;
    Memory temporary;
    Memory kernels;
    const char* const* foreign;
    bool is_apart;
    uint32_t crc;
};

// Before the first method runs; again is no harm.
void open(const Shared& shared);

// Runs a method; loads it before, if it is not. False where the runtime refused, after executor_failed().
bool run(const Plan& plan, Slot* slot);

// The most temporary memory that was in use at once.
size_t temporary_peak();

}  // namespace executor

// What stopped the runtime: one of the reasons of docs/run-protocol.md, the method or the operator that it is about,
// and ExecuTorch's own number of the error (runtime/core/error.h).
void executor_failed(const char* reason, const char* what, uint32_t error);
