// See profile.h.
#include "runtime/profile.h"

#include "platform/counter.h"
#include "runtime/print.h"

namespace {

uint32_t* next = nullptr;
uint64_t before = 0;
uint32_t overhead = 0;  // instructions of a mark itself, between the readings of two of them

}  // namespace

void profile_begin(uint32_t* counts) {
    uint32_t empty[2];
    overhead = 0;
    next = empty;
    profile_mark();
    profile_mark();
    overhead = empty[1];
    next = counts;
}

// Never inlined: every mark costs the same.
__attribute__((noinline)) void profile_mark() {
    const uint64_t now = counter_read();
    *next = static_cast<uint32_t>(counter_instructions(before, now)) - overhead;
    ++next;
    before = counter_read();
}

void profile_print(const uint32_t* counts, int32_t count) {
    print_text("@mcu profile=");
    for (int32_t i = 0; i < count; ++i) {
        if (i > 0) print_text(",");
        print_unsigned(counts[i]);
    }
    print_text("\n");
}
