// See console.h.
#include "runtime/console.h"

#include "model/model.h"
#include "platform/counter.h"
#include "platform/memory.h"
#include "platform/platform.h"
#include "runtime/print.h"

namespace {

enum class Counts { kUnknown, kNone, kInstructions };
Counts counts = Counts::kUnknown;

void print_end_of_answer() { platform_write(&kEndOfTransmission, 1); }

}  // namespace

void console_start() {
    counter_start();
    print_text("\n@mcu ready=1\n");
}

bool console_counts_instructions() {
    if (counts == Counts::kUnknown) counts = counter_check() ? Counts::kInstructions : Counts::kNone;
    return counts == Counts::kInstructions;
}

int32_t console_read_line(char* line, int32_t capacity) {
    int32_t length = 0;
    bool too_long = false;
    for (;;) {
        const int32_t byte = platform_read();
        if (byte < 0 || byte == kEndOfTransmission) return -2;
        if (byte == '\n') break;
        if (length == capacity) {
            too_long = true;
        } else {
            line[length++] = static_cast<char>(byte);
        }
    }
    if (too_long) return -1;
    return length > 0 && line[length - 1] == '\r' ? length - 1 : length;
}

void console_succeed() {
    print_fact("model", model::kHash);
    print_fact("name", model::kName);
    print_fact("board", model::kBoard);
    print_text("@mcu arena=");
    print_unsigned(model::kArenaBytes);
    print_text(" kv_cache=");
    print_unsigned(model::kKvCacheBytes);
    const uint32_t stack = memory_stack_used();
    if (stack != 0) {
        print_text(" stack_used=");
        print_unsigned(stack);
    }
    print_text("\n");
    print_fact("counter", console_counts_instructions() ? "instructions" : "none");
#ifdef MCU_PROFILE
    model::print_profile();
#endif
    print_fact("verdict", "ok");
    print_end_of_answer();
}

void console_fail(const char* reason) {
    print_text("@mcu verdict=error reason=");
    print_text(reason);
    print_text("\n");
    print_end_of_answer();
}
