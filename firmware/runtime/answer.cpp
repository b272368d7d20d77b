// See answer.h.
#include "runtime/answer.h"

#include "platform/platform.h"
#include "runtime/crc.h"
#include "runtime/print.h"

namespace {

uint32_t answered = 0;  // the request that the bytes now belong to; 0: none that has a number
bool counting = false;  // whether the bytes go into the CRC
uint32_t crc = kCrcOfNothing;

void start_counting() {
    counting = true;
    crc = kCrcOfNothing;
}

void print_crc() {
    counting = false;
    print_text(" crc=");
    print_hex(crc, 8);
}

}  // namespace

void answer_start(uint32_t number) {
    if (number == 0) return;
    print_text("\n");
    answered = number;
    start_counting();
    print_fact("request", uint64_t{number});
}

void answer_write(const char* bytes, int32_t count) {
    if (counting) crc = crc_add(crc, bytes, count);
    platform_write(bytes, count);
}

void answer_end() {
    if (answered != 0) {
        print_text(" request=");
        print_unsigned(answered);
        print_crc();
        answered = 0;
    }
    print_text("\n\x04");
}

void answer_line_start() { start_counting(); }

void answer_line_end() {
    print_crc();
    print_text("\n");
}
