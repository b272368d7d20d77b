// The registers of a simulated NPU, for a firmware that runs as a process on the host: through the file descriptors
// that $MCU_SDK_NPU names, "REQUEST,RESPONSE". Written to docs/npu_cosimulation.md.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "drivers/ethos_u/ethos_u_run.h"
#include "drivers/ethos_u/register_access.h"
#include "drivers/ethos_u/register_message.h"
#include "platform/platform.h"

namespace {

constexpr int32_t kNobodyListens = 1;  // a simulator that has gone takes the console with it: nothing is said

int request = -1;
int response = -1;

void connect() {
    if (request >= 0) return;
    const char* named = getenv("MCU_SDK_NPU");
    if (named == nullptr || sscanf(named, "%d,%d", &request, &response) != 2) ethos_u_failed("npu_not_connected", 0, 0);
}

void send(uint32_t operation, uint32_t offset, uint32_t value) {
    connect();
    const RegisterMessage text = {operation, offset, value};
    if (write(request, &text, sizeof text) != ssize_t(sizeof text)) platform_exit(kNobodyListens);
}

}  // namespace

uint32_t ethos_u_read_register(uint32_t offset) {
    send(kRegisterRead, offset, 0);
    uint32_t value = 0;
    ssize_t got = 0;
    do {
        got = read(response, &value, sizeof value);
    } while (got < 0 && errno == EINTR);
    if (got != ssize_t(sizeof value)) platform_exit(kNobodyListens);
    return value;
}

void ethos_u_write_register(uint32_t offset, uint32_t value) { send(kRegisterWrite, offset, value); }
