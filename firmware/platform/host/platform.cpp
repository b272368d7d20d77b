// The console on standard input and output of a process.
#include "platform/platform.h"

#include <stdio.h>
#include <stdlib.h>

#include "platform/counter.h"
#include "platform/host/float_mode.h"
#include "platform/memory.h"

namespace {

// Before main(), for as long as the process lives.
__attribute__((constructor)) void set_float_mode() {
    float_mode_set((float_mode_get() & ~kFloatModeMask) | kFlushSubnormals);
}

}  // namespace

void platform_write(const char* bytes, int32_t count) {
    if (count == 0) return;  // a token without text is nullptr, which fwrite does not take
    fwrite(bytes, 1, static_cast<size_t>(count), stdout);
    fflush(stdout);
}

int32_t platform_read() {
    const int byte = getchar();
    return byte == EOF ? -1 : byte;
}

void platform_exit(int32_t code) { exit(code); }

// A process has no counter that counts the same in every run, and its stack is the operating system's business.
void counter_start() {}

bool counter_check() { return false; }

const char* counter_unit() { return "instructions"; }

uint64_t counter_read() { return 0; }

uint64_t counter_instructions(uint64_t, uint64_t) { return 0; }

uint32_t memory_stack_used() { return 0; }
