// See answer.h.
#include "runtime/answer.h"

#include "platform/platform.h"
#include "runtime/crc.h"
#include "runtime/print.h"

namespace {

uint32_t answered = 0;  // the request that the bytes now belong to; 0: none that has a number
uint32_t crc = kCrcOfNothing;

}  // namespace

void answer_start(uint32_t number) {
    if (number == 0) return;
    print_text("\n");
    answered = number;
    crc = kCrcOfNothing;
    print_fact("request", uint64_t{number});
}

void answer_write(const char* bytes, int32_t count) {
    if (answered != 0) crc = crc_add(crc, bytes, count);
    platform_write(bytes, count);
}

void answer_end() {
    if (answered != 0) {
        print_text(" request=");
        print_unsigned(answered);
        const uint32_t sum = crc;
        print_text(" crc=");
        print_hex(sum, 8);
        answered = 0;
    }
    print_text("\n\x04");
}
