// See answer.h.
#include "runtime/answer.h"

#include "runtime/print.h"

namespace {

uint32_t answered = 0;  // the request that is being answered; 0: none that has a number

}  // namespace

void answer_start(uint32_t number) {
    if (number == 0) return;
    print_text("\n");
    answered = number;
    print_crc_start();
    print_fact("request", uint64_t{number});
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

void answer_line_start() { print_crc_start(); }

void answer_line_end() {
    print_crc();
    print_text("\n");
}
