// The registers of a simulated NPU in the same process: functions that whoever loads the library sets, and a word that
// keeps what went wrong. mcu_sdk/project/host_library.py is the other side.
#include "drivers/ethos_u/ethos_u_run.h"
#include "drivers/ethos_u/register_access.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

uint32_t (*read_function)(uint32_t offset) = nullptr;
void (*write_function)(uint32_t offset, uint32_t value) = nullptr;
const char* failure = nullptr;

}  // namespace

EXPORT void model_set_npu(uint32_t (*read)(uint32_t), void (*write)(uint32_t, uint32_t)) {
    read_function = read;
    write_function = write;
}

// Why the NPU failed since the last call, or NULL.
EXPORT const char* model_npu_failure() {
    const char* reason = failure;
    failure = nullptr;
    return reason;
}

uint32_t ethos_u_read_register(uint32_t offset) { return read_function == nullptr ? 0 : read_function(offset); }

void ethos_u_write_register(uint32_t offset, uint32_t value) {
    if (write_function != nullptr) write_function(offset, value);
}

void ethos_u_failed(const char* reason, uint32_t, uint32_t) {
    if (failure == nullptr) failure = reason;
}
