// See console.h.
#include "runtime/console.h"

#include "model/model.h"
#include "platform/build_id.h"
#include "platform/counter.h"
#include "platform/memory.h"
#include "platform/platform.h"
#include "runtime/answer.h"
#include "runtime/print.h"
#if MCU_SELF_TEST
#include "runtime/self_test.h"
#endif

namespace {

enum class Counts { kUnknown, kNone, kTrusted };
Counts counts = Counts::kUnknown;

bool counts_can_be_trusted() {
    if (counts == Counts::kUnknown) counts = counter_check() ? Counts::kTrusted : Counts::kNone;
    return counts == Counts::kTrusted;
}

void print_count(const char* when, uint64_t count) {
    print_text(counter_unit());
    print_text(when);
    print_unsigned(count);
}

// Says that requests can come, and to whom: which model this is, and which build of it.
void say_which() {
    print_text("\n");
    answer_line_start();
    print_text("@mcu ready=1 model=");
    print_text(model::kHash);
    const uint8_t* id = build_id();
    if (id != nullptr) {
        print_text(" build=");
        for (int32_t i = 0; i < kBuildIdBytes; ++i) print_hex(id[i], 2);
    }
#if MCU_SELF_TEST
    print_text(self_test_failed() ? " self_test=failed" : " self_test=ok");
#endif
    answer_line_end();
}

}  // namespace

void console_start() {
    counter_start();
#if MCU_SELF_TEST
    self_test_run();
#endif
    print_text("\n@mcu ready=1\n");
}

void console_print_counts(uint64_t first, uint64_t last, uint64_t total) {
    if (!counts_can_be_trusted()) return;
    print_text("@mcu ");
    print_count("_first=", first);
    print_text(" ");
    print_count("_last=", last);
    print_text(" ");
    print_count("_total=", total);
    print_text("\n");
}

void console_print_count(const char* what, uint64_t count) {
    if (!counts_can_be_trusted()) return;
    print_text("@mcu ");
    print_count(what, count);
    print_text("\n");
}

int32_t console_read_line(char* line, int32_t capacity) {
    int32_t length = 0;
    bool too_long = false;
    for (;;) {
        const int32_t byte = platform_read();
        if (byte < 0 || byte == kEndOfTransmission) return -2;
        if (byte == '\n') break;
        if (byte == kForgetLine) {
            length = 0;
            too_long = false;
        } else if (length == capacity) {
            too_long = true;
        } else {
            line[length++] = static_cast<char>(byte);
        }
    }
    if (too_long) return -1;
    return length > 0 && line[length - 1] == '\r' ? length - 1 : length;
}

int32_t console_next_line(char* line, int32_t capacity) {
    for (;;) {
        const int32_t length = console_read_line(line, capacity);
        if (length == -2) return -1;
        if (length == 0) continue;
        if (length < 0) {
            console_fail("line_too_long");
        } else if (request_is_ping(line, length)) {
            say_which();
        } else {
            return length;
        }
    }
}

bool console_take_request(char* line, int32_t length, const Sampling& defaults, int32_t* ids, int32_t id_capacity,
                          Request* request) {
    const char* error = request_parse(line, length, defaults, ids, id_capacity, request);
    answer_start(request->number);
#if MCU_SELF_TEST
    if (error == nullptr && self_test_failed()) {
        self_test_print_broken();
        error = "self_test_failed";
    }
#endif
    if (error != nullptr) console_fail(error);
    return error == nullptr;
}

bool console_read_request(char* line, int32_t capacity, const Sampling& defaults, int32_t* ids, int32_t id_capacity,
                          Request* request) {
    for (;;) {
        const int32_t length = console_next_line(line, capacity);
        if (length < 0) return false;
        if (console_take_request(line, length, defaults, ids, id_capacity, request)) return true;
    }
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
    print_fact("counter", counts_can_be_trusted() ? counter_unit() : "none");
#if MCU_SELF_TEST
    print_fact("self_test", "ok");
    print_fact("self_tested", static_cast<uint64_t>(self_test_count()));
#endif
#ifdef MCU_PROFILE
    model::print_profile();
#endif
#if MCU_EXECUTORCH
    print_text("@mcu runtime=executorch");
    for (int32_t i = 0; i < model::kRuntimeUses; ++i) {
        const model::RuntimeUse use = model::runtime_use(i);
        print_text(" ");
        print_text(use.what);
        print_text("_bytes=");
        print_unsigned(use.bytes);
        print_text(" ");
        print_text(use.what);
        print_text("_used=");
        print_unsigned(use.used);
    }
    print_text("\n");
#endif
    console_done();
}

void console_done() {
    print_text("@mcu verdict=ok");
    answer_end();
}

void console_fail(const char* reason) {
    print_text("@mcu verdict=error reason=");
    print_text(reason);
    answer_end();
}
