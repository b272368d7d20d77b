// Runs kernel calls in the simulator: reads them with their memory from a file, writes the memory back.
//
// The file is one image of the memory at kBase: a header, the calls, the arrays (tests/kernels/device/simulated.py).
#include <stdint.h>

#include "platform/cortex_m/registers.h"
#include "platform/counter.h"

struct Call {
    uint32_t function;
    uint32_t instructions;  // the result
    uint32_t words[20];     // r0 to r3, then the stack
    float floats[8];        // s0 to s7
};

struct Image {
    uint32_t bytes;
    uint32_t calls;
    uint32_t trusted;  // whether the counter counts instructions
    uint32_t padding;
    Call call[];
};

extern "C" {
extern uint32_t __stack_top[];
void Reset_Handler();
void fault();
void invoke(uint32_t function, const uint32_t* words, const float* floats);
void nothing() {}
}

static Image* const kImage = reinterpret_cast<Image*>(0x60000000u);
static constexpr uint32_t kRoom = 64u << 20;

__attribute__((used, section(".vectors"))) static const void* const vectors[16] = {
    __stack_top,
    reinterpret_cast<const void*>(Reset_Handler),
    reinterpret_cast<const void*>(fault),
    reinterpret_cast<const void*>(fault),
    reinterpret_cast<const void*>(fault),
    reinterpret_cast<const void*>(fault),
    reinterpret_cast<const void*>(fault),
};

// Arm's semihosting: an operation and a block of words.
static uint32_t semihosting(uint32_t operation, const void* block) {
    register uint32_t r0 asm("r0") = operation;
    register const void* r1 asm("r1") = block;
    asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t open(const char* name, uint32_t length, uint32_t mode) {
    const uint32_t block[] = {reinterpret_cast<uint32_t>(name), mode, length};
    return semihosting(0x01, block);
}

[[noreturn]] static void leave(uint32_t code) {
    const uint32_t block[] = {0x20026u, code};  // ADP_Stopped_ApplicationExit
    semihosting(0x20, block);
    for (;;) {
    }
}

void fault() { leave(3); }

// AAPCS with hardware floats: whole words in r0 to r3 and on the stack, floats in s0 to s7.
asm(R"(
    .thumb_func
    .global invoke
invoke:
    push {r4-r6, lr}
    mov r4, sp
    mov r5, r0
    mov r6, r1
    vldm r2, {s0-s7}
    sub sp, #64
    movs r3, #0
1:  adds r2, r6, r3
    ldr r1, [r2, #16]
    add r2, sp, r3
    str r1, [r2]
    adds r3, #4
    cmp r3, #64
    bne 1b
    ldm r6, {r0-r3}
    blx r5
    mov sp, r4
    pop {r4-r6, pc}
)");

static uint64_t count(Call& call, uint32_t function) {
    const uint64_t before = counter_read();
    invoke(function, call.words, call.floats);
    return counter_instructions(before, counter_read());
}

void Reset_Handler() {
    device_register(0xE000ED88) |= 0xFu << 20;  // FPU and Helium
    asm volatile("dsb\n isb" ::: "memory");
    uint32_t status;
    asm volatile("vmrs %0, fpscr" : "=r"(status));
    asm volatile("vmsr fpscr, %0" : : "r"(status | 1u << 24));  // subnormals are zero, as in the firmware
    device_register(0xE000ED14) |= 1u << 19;                    // the loop cache
    asm volatile("dsb\n isb" ::: "memory");
    const uint32_t input = open("calls.bin", 9, 1);
    const uint32_t read[] = {input, reinterpret_cast<uint32_t>(kImage), kRoom};
    if (input == UINT32_MAX || semihosting(0x06, read) == kRoom) leave(1);
    counter_start();
    kImage->trusted = counter_check() ? 1 : 0;
    for (uint32_t i = 0; i < kImage->calls; ++i) {
        Call& call = kImage->call[i];
        const uint64_t empty = count(call, reinterpret_cast<uint32_t>(nothing));
        call.instructions = static_cast<uint32_t>(count(call, call.function) - empty);
    }
    const uint32_t output = open("results.bin", 11, 5);
    const uint32_t write[] = {output, reinterpret_cast<uint32_t>(kImage), kImage->bytes};
    if (output == UINT32_MAX || semihosting(0x05, write) != 0) leave(2);
    leave(0);
}
