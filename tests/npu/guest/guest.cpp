// A firmware around the NPU's driver, for QEMU and for the host: runs the command block that a request names, as often
// as it says, and prints a checksum of the scratch after each run. Blocks come from blocks.h, which the test writes.
//
// The request is `@run request=NUMBER steps=COUNT seed=BLOCK`. From kFirstMischief on a "block" is what a broken firmware does.
#include <stdint.h>

#include "blocks.h"
#include "drivers/ethos_u/ethos_u_run.h"
#include "drivers/ethos_u/register_access.h"
#ifdef __arm__
#include "platform/cortex_m/uart.h"
#endif
#include "platform/platform.h"
#include "runtime/answer.h"
#include "runtime/console.h"
#include "runtime/print.h"

#ifdef __arm__
#define IN_DDR __attribute__((section(".ddr_zero"), aligned(64)))
#else
#define IN_DDR __attribute__((aligned(64)))
#endif

namespace {

enum Mischief : uint32_t {
    kUnreachableScratch = kFirstMischief,
    kUnknownRegister,
    kHang,
    kSilentEnd,
};

IN_DDR uint8_t scratch[kScratchBytes];

uint32_t number_after(const char* line, char letter) {
    while (*line != 0 && !(line[0] == letter && line[1] == '=')) ++line;
    uint32_t value = 0;
    for (line += *line != 0 ? 2 : 0; *line >= '0' && *line <= '9'; ++line) value = 10 * value + uint32_t(*line - '0');
    return value;
}

void read_line(char* line, int32_t capacity) {
    int32_t length = 0;
    for (int32_t byte = platform_read(); byte >= 0 && byte != '\n'; byte = platform_read()) {
        if (length + 1 < capacity) line[length++] = char(byte);
    }
    line[length] = 0;
}

void run_block(uint32_t index) {
    const Block& block = kBlocks[index];
    ethos_u_run(block.commands, int32_t(block.bytes), kWeights, sizeof kWeights, scratch, sizeof scratch);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < kSummed; ++i) sum = 31 * sum + scratch[i];
    print_text("\n@mcu sum=");
    print_hex(sum, 8);
    print_text("\n");
}

void misbehave(uint32_t kind) {
    const Block& block = kBlocks[0];
    static uint8_t elsewhere[64];  // in the DTCM, which QEMU does not share
    switch (kind) {
        case kUnreachableScratch:
#ifdef __arm__
            ethos_u_run(block.commands, int32_t(block.bytes), kWeights, sizeof kWeights, elsewhere, sizeof elsewhere);
#else
            static_cast<void>(elsewhere);
            ethos_u_run(block.commands, int32_t(block.bytes), kWeights, sizeof kWeights,
                        reinterpret_cast<uint8_t*>(0x10), 64);
#endif
            return;
        case kUnknownRegister: static_cast<void>(ethos_u_read_register(0x180)); return;
        case kHang:
            static_cast<void>(ethos_u_read_register(0));
            for (;;) asm volatile("" ::: "memory");
        case kSilentEnd: static_cast<void>(ethos_u_read_register(0)); platform_exit(0);
        default: return;
    }
}

}  // namespace

void console_fail(const char* reason) {
    print_fact("reason", reason);
    print_text("@mcu verdict=error");
    answer_end();
}

int main() {
    print_text("\n@mcu ready=1\n");
    char line[128];
    read_line(line, sizeof line);
    answer_start(number_after(line, 't'));  // "request="
    const uint32_t steps = number_after(line, 's');  // "steps=": the last letter before the sign
    const uint32_t which = number_after(line, 'd');  // "seed="
    for (uint32_t i = 0; i < steps; ++i) {
        if (which < kFirstMischief) {
            run_block(which);
        } else {
            misbehave(which);
        }
    }
    print_text("@mcu verdict=ok");
    answer_end();
    platform_exit(0);
}

#ifdef __arm__

extern "C" char __stack_top[];

extern "C" [[noreturn]] void Reset_Handler() {
    uart_start();
    main();
    platform_exit(1);
}

__attribute__((section(".vectors"), used)) const void* const kVectors[] = {
    __stack_top, reinterpret_cast<const void*>(&Reset_Handler)};

#endif
