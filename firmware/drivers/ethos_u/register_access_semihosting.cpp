// The registers of a simulated NPU: each access goes through two pipes on the simulator's side, opened by semihosting.
//
// Written to docs/npu_cosimulation.md. Both sides open the request pipe first. Writes wait in a buffer until a read
// needs an answer: one call carries them all.
#include "drivers/ethos_u/ethos_u_run.h"
#include "drivers/ethos_u/register_access.h"
#include "drivers/ethos_u/register_message.h"
#include "platform/platform.h"

namespace {

constexpr uint32_t kSysOpen = 0x01;
constexpr uint32_t kSysWrite = 0x05;
constexpr uint32_t kSysRead = 0x06;
constexpr uint32_t kOpenToRead = 1;   // "rb"
constexpr uint32_t kOpenToWrite = 5;  // "wb"
constexpr uint32_t kCapacity = 32;
constexpr int32_t kNobodyListens = 1;  // a simulator that has gone takes the console with it: nothing is said

int32_t call(uint32_t operation, const uint32_t* block) {
    register uint32_t r0 asm("r0") = operation;
    register const uint32_t* r1 asm("r1") = block;
    asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return int32_t(r0);
}

uint32_t address(const void* pointer) { return uint32_t(reinterpret_cast<uintptr_t>(pointer)); }

struct Pipes {
    int32_t request = -1;
    int32_t response = -1;
    uint32_t count = 0;
    RegisterMessage waiting[kCapacity] = {};
};
Pipes pipes;

int32_t open(const char* name, uint32_t length, uint32_t mode) {
    const uint32_t block[] = {address(name), mode, length};
    return call(kSysOpen, block);
}

void open_pipes() {
    constexpr char kRequest[] = "npu.request";
    constexpr char kResponse[] = "npu.response";
    pipes.request = open(kRequest, sizeof kRequest - 1, kOpenToWrite);
    pipes.response = open(kResponse, sizeof kResponse - 1, kOpenToRead);
    if (pipes.request < 0 || pipes.response < 0) ethos_u_failed("npu_not_connected", 0, 0);
}

void flush() {
    if (pipes.request < 0) open_pipes();
    const uint32_t block[] = {uint32_t(pipes.request), address(pipes.waiting),
                              pipes.count * uint32_t(sizeof(RegisterMessage))};
    if (call(kSysWrite, block) != 0) platform_exit(kNobodyListens);
    pipes.count = 0;
}

void send(uint32_t operation, uint32_t offset, uint32_t value) {
    if (pipes.count == kCapacity) flush();
    pipes.waiting[pipes.count++] = {operation, offset, value};
}

}  // namespace

uint32_t ethos_u_read_register(uint32_t offset) {
    send(kRegisterRead, offset, 0);
    flush();
    uint32_t value = 0;
    const uint32_t block[] = {uint32_t(pipes.response), address(&value), sizeof value};
    if (call(kSysRead, block) != 0) platform_exit(kNobodyListens);
    return value;
}

void ethos_u_write_register(uint32_t offset, uint32_t value) { send(kRegisterWrite, offset, value); }
