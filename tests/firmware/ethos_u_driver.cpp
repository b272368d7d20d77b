// The NPU's driver over registers that a test scripts: ethos_u_driver POLLS [OFFSET=VALUE,VALUE...]... < command block
//
// Each read of a register takes its next value, hexadecimal; the last one stays; without any it is 0. What the driver
// does is printed, a line each: addresses first, then reads ("r"), writes ("w"), cache hooks, and the outcome.
// POLLS 0: through ethos_u_run, as a plan calls it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/ethos_u/ethos_u.h"
#include "drivers/ethos_u/ethos_u_run.h"
#include "drivers/ethos_u/register_access.h"

namespace {

constexpr uint32_t kLargest = 4096;
char* scripts[kLargest] = {};  // of each register: what is left of its values

uint8_t weights[64];
uint8_t scratch[128];

void set_script(char* text) {
    char* values = strchr(text, '=');
    const unsigned long offset = strtoul(text, nullptr, 16);
    if (values == nullptr || offset >= kLargest) abort();
    scripts[offset] = values + 1;
}

const char* name_of(const void* begin) {
    return begin == weights ? "weights" : begin == scratch ? "scratch" : "commands";
}

}  // namespace

uint32_t ethos_u_read_register(uint32_t offset) {
    uint32_t value = 0;
    if (scripts[offset] != nullptr) {
        char* end = nullptr;
        value = uint32_t(strtoul(scripts[offset], &end, 16));
        if (*end == ',') scripts[offset] = end + 1;
    }
    printf("r %02x %x\n", offset, value);
    return value;
}

void ethos_u_write_register(uint32_t offset, uint32_t value) { printf("w %02x %x\n", offset, value); }

void ethos_u_failed(const char* reason, uint32_t npu_status, uint32_t stream_position) {
    printf("failed %s %x %u\n", reason, npu_status, stream_position);
}

namespace ethos_u {
void clean_cache(const void* begin, uint32_t bytes) { printf("clean %s %u\n", name_of(begin), bytes); }
void invalidate_cache(const void* begin, uint32_t bytes) { printf("invalidate %s %u\n", name_of(begin), bytes); }
}  // namespace ethos_u

int main(int count, char** arguments) {
    static uint8_t input[65536];
    const uint32_t bytes = uint32_t(fread(input, 1, sizeof input, stdin));
    // A block of exactly its size: reading past its end is an error that the sanitizer finds.
    uint8_t* commands = static_cast<uint8_t*>(malloc(bytes + (bytes == 0)));
    memcpy(commands, input, bytes);
    const uint32_t polls = uint32_t(strtoul(arguments[1], nullptr, 10));
    for (int i = 2; i < count; ++i) set_script(arguments[i]);
    const void* const places[] = {commands, weights, scratch};
    for (const void* place : places) {
        printf("%s %llx\n", name_of(place), static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(place)));
    }
    if (polls == 0) {
        ethos_u_run(commands, int32_t(bytes), weights, sizeof weights, scratch, sizeof scratch);
    } else {
        const ethos_u::Job job = {commands, bytes, {weights, scratch}, 2, 0x3, 2, polls};
        const ethos_u::Outcome outcome = ethos_u::invoke(job);
        printf("outcome %s %x %u\n", ethos_u::message(outcome.status), outcome.npu_status, outcome.stream_position);
    }
    free(commands);
    return 0;
}
